"""The options of the command `report`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.cli.options import flag, option
from bench.grid.cells import split_list

if TYPE_CHECKING:  # they import pandas
    from reports.tables.build import ReportRequest
    from reports.tables.view import View

MAIN, ALL = "main", "all"
Format = Literal["terminal", "markdown", "latex", "csv", "html"]
Kind = Literal[
    "main",
    "paper",
    "efficiency",
    "utilisation",
    "ablation",
    "pretraining",
    "kshot",
    "gap",
    "tuning",
    "comparison",
    "noninferiority",
    "variance",
    "all",
]


@dataclass(frozen=True)
class ReportOptions:
    """What to report and how to show it, as it was typed."""

    format: Format = option("terminal", "What to print.")
    kind: Kind | None = option(
        None, "Which tables; all: every kind there is something for. Default: main; all in HTML."
    )
    dataset: str | None = option(
        None, "Only this data set: a release (brats2019), or all of its releases (brats)."
    )
    out: Path | None = option(None, "Write to this file (with --figures: folder).")
    figures: bool = flag("Tables in all formats, macros, pictures and the page into --out FOLDER.")
    versus: str = option(
        "", "Test every method against this one; default of noninferiority: full fine-tuning."
    )
    margin: float | None = option(
        None, "Difference in points of Dice that does not matter, for noninferiority; default: 1."
    )
    intervals: bool = flag("Means with 95 % intervals instead of ±, in the main table.")
    case_scores: bool = flag("Mean Dice of every case as CSV: case, then a column a method.")
    spread: Literal["auto", "cases", "runs"] = option(
        "auto", "± over cases or over runs (folds and seeds); auto: runs where there are several."
    )
    penalty: float | None = option(
        None,
        "HD95 in mm of a miss that the policy leaves undefined; "
        "default: compare on the cases that all methods have.",
    )
    methods: str = option(
        "", "Only these methods, in this order: a comma list; lora[]: with its defaults alone."
    )
    columns: str = option("", "Only these columns: dice, dice/WT, hd95_mm, tuned_m, ...")
    name: list[str] | None = option(
        None, "Print a method, data set, backbone, region, column so: lora=LoRA (repeatable)."
    )
    names: Path | None = option(None, 'TOML file of such names, a line each: lora = "LoRA".')
    group: list[str] | None = option(
        None, 'Rows under a heading: "Adapters=adaptformer,med_adapter" (repeatable).'
    )
    families: bool = flag("Rows under the family of their method; a colour each in pictures.")
    reference: Path | None = option(
        None, "CSV of published numbers: dataset,method,quantity,value."
    )
    per_dataset: bool = flag("A main table for each data set instead of all side by side.")
    venue: Literal["article", "ieee", "lncs", "elsevier", "midl"] = option(
        "article", "Document class of LaTeX tables: width, size of letters."
    )
    caption: str = option("", "Caption of a LaTeX table; warnings are added to it.")
    label: str = option("", "Label of a LaTeX table, such as tab:main.")
    macros: bool = flag("LaTeX commands for the numbers instead of tables.")
    intersection: bool = flag("Compare on the cases that all methods have.")
    allow_mixed: bool = flag("Let different protocols into one table.")

    def read(self) -> "ReportRequest":
        """Return the report that the options ask for.

        Raises: ValueError for options that exclude each other or cannot be read.
        """
        narrowed = self.format != "terminal" or self.macros or self.kind not in (None, ALL)
        if self.figures and narrowed:
            rule = "--figures writes every kind in every format"
            raise ValueError(f"report: {rule}, got --format, --kind or --macros as well")
        if self.macros and self.format == "html":
            raise ValueError("report: --macros are LaTeX, got --format html as well")
        whole = self.figures or self.format == "html"
        self._check_tests(whole)
        self._check_latex()
        from bench.cli.reporting.naming import read_names  # the imports of pandas
        from reports.analysis.claims.noninferiority import MARGIN_POINTS
        from reports.tables.build import ReportRequest

        return ReportRequest(
            format=self.format,
            kind=self.kind or (ALL if whole else MAIN),
            dataset=self.dataset,
            versus=self.versus,
            spread=self.spread,
            allow_mixed=self.allow_mixed,
            intersection=self.intersection,
            macros=self.macros,
            penalty_mm=self.penalty,
            margin_points=MARGIN_POINTS if self.margin is None else self.margin,
            intervals=self.intervals,
            per_dataset=self.per_dataset,
            view=self._read_view(),
            venue=self.venue,
            caption=self.caption,
            label=self.label,
            names=read_names(self.names, self._read_pairs()),
        )

    def _check_latex(self) -> None:
        latex = self.format == "latex" and not self.macros
        for name, given in (("caption", self.caption), ("label", self.label)):
            if given and not latex:
                raise ValueError(f"report: --{name} is for --format latex, got another output")
        if self.venue != "article" and not (latex or self.figures):
            raise ValueError("report: --venue is for --format latex and --figures, got neither")
        if not re.fullmatch(r"[\w:.+-]*", self.label, re.ASCII):
            rule = "report: --label must be of letters, digits and :.+-_"
            raise ValueError(f"{rule}, got '{self.label}'")

    def _check_tests(self, whole: bool) -> None:
        for name in ("margin", "penalty"):
            number = getattr(self, name)
            if number is not None and not 0 < number < inf:
                raise ValueError(f"report: --{name} must be a number above 0, got {number:g}")
        used = whole or self.kind in (ALL, "noninferiority")
        if self.margin is not None and not used:
            hint = "add --kind noninferiority"
            raise ValueError(f"report: --margin is for noninferiority, got another kind ({hint})")
        main = whole or self.kind in (ALL, MAIN) or (self.kind is None and not self.versus)
        if self.intervals and (not main or self.macros or self.case_scores):
            raise ValueError("report: --intervals is for the main table, got another output")
        if self.case_scores and (whole or self.macros or self.kind or self.format != "terminal"):
            rule = "--case-scores writes one CSV"
            raise ValueError(f"report: {rule}, got --figures, --format, --kind or --macros as well")

    def _read_pairs(self) -> dict[str, str]:
        return _split_pairs(self.name or (), "--name lora=LoRA")

    def _read_view(self) -> "View":
        from reports.tables.view import View, read_published

        pairs = _split_pairs(self.group or (), "--group Prompts=vpt_shallow,vpt_deep")
        groups = {heading: _split(members, "--group") for heading, members in pairs.items()}
        if groups and self.families:
            raise ValueError("report: --families makes groups of its own, got --group as well")
        return View(
            methods=_split(self.methods, "--methods"),
            columns=_split(self.columns, "--columns"),
            groups=groups,
            by_family=self.families,
            published=() if self.reference is None else read_published(self.reference),
        )


def _split(text: str, name: str) -> tuple[str, ...]:
    return tuple(split_list(text, name)) if text else ()


def _split_pairs(texts: Sequence[str], example: str) -> dict[str, str]:
    """Return the pairs that an option was given, each key once."""
    pairs: dict[str, str] = {}
    for text in texts:
        key, value = _split_pair(text, example)
        if key in pairs:
            raise ValueError(f"{example.split()[0]}: must give {key} once, got it twice")
        pairs[key] = value
    return pairs


def _split_pair(text: str, example: str) -> tuple[str, str]:
    # a label such as lora[rank=8] has signs of its own inside the brackets
    found = re.fullmatch(r"((?:[^=\[]|\[[^\]]*\])+)=(.+)", text)
    if found is None:
        raise ValueError(f"{example.split()[0]}: must look like {example}, got '{text}'")
    return found[1], found[2]
