"""`bench score`: the scores of label files, whoever made them, by the code that scores a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.cli.terminal import case_progress
from bench.scoring.label_files import Pairing, pair_files, read_pair
from bench.scoring.metrics import Scoring, score_case
from bench.scoring.postprocessing import AUTO, REGION, choose_cutoff
from bench.specs.protocol import EvalSpec, Protocol, SpecError, override
from reports.analysis.aggregates import Mean, RegionAggregate, aggregate_regions
from reports.records.metrics import METRICS
from reports.records.run import CaseScore, PostProcessing, to_plain


@dataclass(frozen=True)
class ScoreRequest:
    """What was typed, nothing checked yet."""

    reference: Path
    prediction: Path
    dataset: str
    release: str | None
    assignments: Sequence[str]


def score_command(request: ScoreRequest, console: Console, *, as_json: bool) -> None:
    """Score one pair of files, or all predictions in a folder, and print every row and the means.

    Raises: ValueError with one sentence for files that do not belong together or a setting that
    cannot be.
    """
    spec = _read_spec(request.assignments)
    pairing = pair_files(request.dataset, request.reference, request.prediction, request.release)
    scoring = Scoring(pairing.info, spec)
    cutoff = choose_cutoff(scoring, lambda: ())
    rows: list[CaseScore] = []
    with case_progress(Console(stderr=True)) as on_case:
        for number, (case, prediction) in enumerate(pairing.pairs, start=1):
            predicted, reference, spacing_mm = read_pair(case, prediction, pairing.info)
            rows += score_case(case.id, predicted, reference, spacing_mm, scoring)
            on_case("scoring", number, len(pairing.pairs))
    processed = cutoff.apply(rows) if cutoff else None
    if as_json:
        console.file.write(_format_json(pairing, scoring, rows, processed) + "\n")
        return
    _print_heading(pairing, scoring, console)
    console.print(_tabulate_cases(rows))
    console.print(_tabulate_regions("mean", aggregate_regions(rows)))
    if processed is not None:
        title = (
            f"mean with {REGION} of fewer than {processed.min_vox} predicted voxels taken as none"
        )
        console.print(_tabulate_regions(title, aggregate_regions(processed.cases)))


def _read_spec(assignments: Sequence[str]) -> EvalSpec:
    protocol = Protocol()
    for assignment in assignments:
        if not assignment.startswith("eval."):
            raise SpecError(
                f"score: --set must be a field of the scoring such as eval.hd95, got '{assignment}'"
            )
        protocol = override(protocol, assignment)
    if protocol.eval.et_min_vox == AUTO:
        raise SpecError(
            "score: eval.et_min_vox must be a number, got auto (only a run has cases to choose it on)"
        )
    return protocol.eval


def _format_json(
    pairing: Pairing, scoring: Scoring, rows: Sequence[CaseScore], processed: PostProcessing | None
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
        "without_prediction": pairing.without_prediction,
    }
    return json.dumps(to_plain(record, "score"), indent=1, allow_nan=False)


def _print_heading(pairing: Pairing, scoring: Scoring, console: Console) -> None:
    assumed = (
        " (assumed, the files' names do not tell: --release names another)"
        if pairing.release_assumed
        else ""
    )
    synthetic = " (SYNTHETIC phantoms)" if pairing.synthetic else ""
    console.print(
        f"[bold]{escape(pairing.info.title)}[/]{assumed}{synthetic}, cases: {len(pairing.pairs)}; empty masks: "
        f"{scoring.policy_name}; HD95: {scoring.spec.hd95}",
        soft_wrap=True,
    )
    if pairing.without_prediction:
        console.print(
            f"[yellow]left out, without a prediction: {len(pairing.without_prediction)}[/]",
            soft_wrap=True,
        )


def _tabulate_cases(rows: Sequence[CaseScore]) -> Table:
    heads = [heading for heading, _, _ in _list_numbers(rows[0])]
    table = _begin_table("", words=("case", "region"), numbers=heads)
    for row in rows:
        numbers = [_show(value, digits) for _, value, digits in _list_numbers(row)]
        table.add_row(escape(row.case), row.region, *numbers)
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
    counts = ("global\nDice", "both\nempty", "false\nalarms", "misses")
    metrics = METRICS.values()
    table = _begin_table(
        f"{title} (n), over all cases and over those whose reference has the region",
        words=("region", "cases"),
        numbers=(*(metric.stored_heading for metric in metrics), *counts),
    )
    for each in regions:
        empties = (each.n_both_empty, each.n_reference_empty, each.n_prediction_empty)
        over_all, over_present = [], []
        for metric in metrics:
            means = each.means[metric.name]
            over_all.append(_show_mean(means.all, metric.stored_digits))
            over_present.append(_show_mean(means.non_empty, metric.stored_digits))
        table.add_row(each.region, "all", *over_all, _show(each.global_dice, 3), *map(str, empties))
        table.add_row("", "present", *over_present)
    return table


def _begin_table(title: str, words: Sequence[str], numbers: Sequence[str]) -> Table:
    """Return a table that is set tightly, so that a case and its numbers fit into 80 columns."""
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
    )
    for heading in words:
        table.add_column(heading, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _show_mean(mean: Mean, digits: int) -> str:
    return f"{_show(mean.value, digits)} ({mean.n})"


def _show(value: float, digits: int) -> str:
    return "–" if isnan(value) else f"{value:.{digits}f}"
