"""The command `score`: label files of any origin, scored by the code that scores a run."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from bench.cli.display.cases import case_progress
from bench.cli.options import flag, option, takes
from bench.cli.terminal import SYNTHETIC, add_columns
from bench.scoring.label_files import Pairing, pair_files, read_pair, read_reference
from bench.scoring.metrics import Scoring, score_case, score_missing
from bench.scoring.postprocessing import REGION, choose_cutoff
from bench.specs.protocol import ET_AUTO, EvalSpec, Protocol, SpecError, override
from reports.analysis.aggregates import Mean, RegionAggregate, aggregate_regions
from reports.formats.terminal import SafeConsole, escape
from reports.records.metrics import METRICS
from reports.records.plain import to_plain
from reports.records.run import CaseScore, PostProcessing

commands = typer.Typer()
Missing = Literal["leave", "zero"]
MISSING = {"leave": "left out", "zero": "counted as Dice 0"}


@dataclass(frozen=True)
class ScoreOptions:
    """Which label files to score, and how, as it was typed."""

    reference: Path = option(..., "Label file, or a folder of them: a data root will do.")
    prediction: Path = option(..., "Label file, or a folder of them; of any tool.")
    dataset: str = option(
        ..., "brats, kits21, a datalist, Dataset137_NAME, ...: label values, regions, empty masks."
    )
    release: str | None = option(None, "brats2020, msd01, ...; default: by the references' names.")
    set: list[str] | None = option(None, "A field of the scoring: eval.hd95=pooled (repeatable).")
    missing: Missing = option(
        "leave", "A case without a prediction: left out, or zero, which counts as Dice 0."
    )
    json: bool = flag("Print JSON instead of tables.")


@commands.command()
@takes(ScoreOptions)
def score(options: ScoreOptions) -> None:
    """Score label files of any origin, by the code that scores a run.

    Files of two folders belong together if each is called as the case, or as the case's label.
    """
    spec = _read_spec(options.set or ())
    pairing = pair_files(options.dataset, options.reference, options.prediction, options.release)
    scoring = Scoring(pairing.info, spec)
    cutoff = choose_cutoff(scoring, lambda: ())
    rows = _score_pairs(pairing, scoring)
    if options.missing == "zero":
        rows += _score_missing(pairing, scoring)
        rows.sort(key=lambda row: row.case)
    processed = cutoff.apply(rows) if cutoff else None
    if options.json:
        typer.echo(_format_json(pairing, scoring, rows, processed, options.missing))
    else:
        _print_tables(pairing, scoring, rows, processed, options.missing)


def _score_pairs(pairing: Pairing, scoring: Scoring) -> list[CaseScore]:
    rows: list[CaseScore] = []
    with case_progress(SafeConsole(stderr=True)) as on_case:
        for number, (case, file) in enumerate(pairing.pairs, start=1):
            prediction, reference, spacing_mm = read_pair(case, file, pairing.info)
            rows += score_case(case.id, prediction, reference, spacing_mm, scoring)
            on_case("scoring", number, len(pairing.pairs))
    return rows


def _score_missing(pairing: Pairing, scoring: Scoring) -> list[CaseScore]:
    rows: list[CaseScore] = []
    for case in pairing.without_prediction:
        reference, spacing_mm = read_reference(case, pairing.info)
        rows += score_missing(case.id, reference, spacing_mm, scoring)
    return rows


def _read_spec(assignments: Sequence[str]) -> EvalSpec:
    protocol = Protocol()
    for assignment in assignments:
        if not assignment.startswith("eval."):
            rule = "--set must be a field of the scoring such as eval.hd95"
            raise SpecError(f"score: {rule}, got '{assignment}'")
        protocol = override(protocol, assignment)
    if protocol.eval.et_min_vox == ET_AUTO:
        hint = "only a run has cases to choose it on"
        raise SpecError(f"score: eval.et_min_vox must be a number, got auto ({hint})")
    return protocol.eval


def _format_json(
    pairing: Pairing,
    scoring: Scoring,
    rows: Sequence[CaseScore],
    processed: PostProcessing | None,
    missing: Missing,
) -> str:
    record = {
        "dataset": pairing.info.name,
        "release": pairing.info.release,
        "release_assumed": pairing.release_assumed,
        "synthetic": pairing.synthetic,
        "empty_policy": scoring.policy_name,
        "hd95": scoring.spec.hd95,
        "regions": aggregate_regions(rows),
        "cases": rows,
        "postprocessing": processed,
        "without_prediction": [case.id for case in pairing.without_prediction],
        "missing": missing,
    }
    return json.dumps(to_plain(record, "score"), indent=1, allow_nan=False)


def _print_tables(
    pairing: Pairing,
    scoring: Scoring,
    rows: Sequence[CaseScore],
    processed: PostProcessing | None,
    missing: Missing,
) -> None:
    console = SafeConsole()
    assumed = ""
    if pairing.release_assumed:
        assumed = " (assumed, the files' names do not tell: --release names another)"
    console.print(
        f"[bold]{escape(pairing.info.title)}[/]{assumed}{SYNTHETIC[pairing.synthetic]}, "
        f"cases: {len({row.case for row in rows})}; empty masks: {scoring.policy_name}; "
        f"HD95: {scoring.spec.hd95}",
        soft_wrap=True,
    )
    if pairing.without_prediction:
        n_missing = len(pairing.without_prediction)
        what = MISSING[missing]
        console.print(f"[yellow]{what}, without a prediction: {n_missing}[/]", soft_wrap=True)
    console.print(_tabulate_cases(rows))
    console.print(_tabulate_regions("mean", aggregate_regions(rows)))
    if processed is not None:
        title = (
            f"mean with {REGION} of fewer than {processed.min_vox} predicted voxels taken as none"
        )
        console.print(_tabulate_regions(title, aggregate_regions(processed.cases)))


def _tabulate_cases(rows: Sequence[CaseScore]) -> Table:
    headings = [heading for heading, _, _ in _list_numbers(rows[0])]
    table = add_columns(_begin_table(""), ("case", "region"), headings)
    for row in rows:
        numbers = [_show(value, digits) for _, value, digits in _list_numbers(row)]
        table.add_row(escape(row.case), escape(row.region), *numbers)
    return table


def _list_numbers(row: CaseScore) -> Iterator[tuple[str, float, int]]:
    """Yield heading, value and digits of the columns of a case and region."""
    for name, metric in METRICS.items():
        yield metric.stored_heading, row.score(name), metric.stored_digits
        if name == "nsd":
            yield "at mm", row.nsd_tolerance_mm, 2
    yield "ref. ml", row.reference_ml, 2
    yield "pred. ml", row.predicted_ml, 2


def _tabulate_regions(title: str, regions: Sequence[RegionAggregate]) -> Table:
    metrics = METRICS.values()
    headings = [metric.stored_heading for metric in metrics]
    counts = ["global\nDice", "both\nempty", "false\nalarms", "misses"]
    title = f"{title} (n), over all cases and over those whose reference has the region"
    table = add_columns(_begin_table(title), ("region", "cases"), headings + counts)
    for each in regions:
        empties = (each.n_both_empty, each.n_reference_empty, each.n_prediction_empty)
        over_all, over_present = [], []
        for metric in metrics:
            means = each.means[metric.name]
            over_all.append(_show_mean(means.all, metric.stored_digits))
            over_present.append(_show_mean(means.non_empty, metric.stored_digits))
        table.add_row(
            escape(each.region), "all", *over_all, _show(each.global_dice, 3), *map(str, empties)
        )
        table.add_row("", "present", *over_present)
    return table


def _begin_table(title: str) -> Table:
    """Return a table that is set tightly, so that a case and its numbers fit into 80 columns."""
    return Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
    )


def _show_mean(mean: Mean, digits: int) -> str:
    return f"{_show(mean.value, digits)} ({mean.n})"


def _show(value: float, digits: int) -> str:
    return "–" if isnan(value) else f"{value:.{digits}f}"
