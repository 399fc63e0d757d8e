"""The sentences without which the numbers of a table cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reports.analysis.comparison import MethodComparison
from reports.analysis.tidy import MEAN
from reports.records.metrics import METRICS
from reports.records.run import RunResult


def describe_setting(tables: Sequence[MethodComparison], subject: str) -> Iterator[str]:
    """Yield what was compared on which data, and that the data are synthetic if any are."""
    setting = tables[0].setting
    datasets = ", ".join(dict.fromkeys(table.setting.dataset for table in tables))
    weights = ", ".join(dict.fromkeys(_name_weights(table.setting.weights) for table in tables))
    backbones = ", ".join(dict.fromkeys(table.setting.backbone for table in tables))
    yield f"{subject} on {datasets}; backbone {backbones}, weights: {weights}."
    if setting.shots is not None and len({table.setting.shots for table in tables}) == 1:
        yield f"Trained on {setting.shots} cases."
    if any(table.synthetic for table in tables):
        yield "Data: SYNTHETIC phantoms, not patient data."


def _name_weights(weights: str) -> str:
    return "none (random initialisation)" if weights == "none" else weights


def describe_scores(tables: Sequence[MethodComparison]) -> Iterator[str]:
    """Yield how many cases were scored, and what mean and spread are over."""
    results = [result for table in tables for result in table.results]
    counts = ", ".join(dict.fromkeys(str(table.rows["n_cases"].max()) for table in tables))
    folds, seeds = (
        sorted({getattr(result, name) for result in results}) for name in ("fold", "seed")
    )
    spreads = {table.spread_over for table in tables}
    over = "the means of folds and seeds" if spreads == {"runs"} else "cases"
    if len(spreads) > 1:
        over = "cases, where a method has several runs over the means of folds and seeds"
    yield (
        f"{counts} held-out cases; {_count('fold', folds)}, {_count('seed', seeds)}. "
        f"Dice in %: mean over cases ± standard deviation over {over}, each case averaged over its seeds first."
    )


def describe_metrics(tables: Sequence[MethodComparison]) -> Iterator[str]:
    """Yield the definition of each metric that is shown as a mean, and how often it is defined."""
    for name, metric in METRICS.items():
        if not metric.columns or not metric.definition:
            continue
        lowest = min(table.rows[f"{name}_defined_frac"].min() for table in tables)
        where = (
            f", where it is defined (at the least in {lowest:.0%} of them)" if lowest < 1 else ""
        )
        yield f"{metric.title}: {metric.definition}, mean over regions, then cases{where}."


def describe_protocol(tables: Sequence[MethodComparison]) -> str:
    """Return the protocols' hashes, or how they differ where they may not."""
    mixed = [table.difference for table in tables if table.mixed]
    if mixed:
        return f"MIXED protocols: {'; '.join(mixed)}."
    found = list(dict.fromkeys(result.protocol_id for table in tables for result in table.results))
    return f"Protocol{'s' if len(found) > 1 else ''} {', '.join(found)}."


def describe_verdict(tables: Sequence[MethodComparison]) -> Iterator[str]:
    """Yield what the mark of a tie means, or why there is none."""
    verdicts = [table.verdicts.get(f"dice/{MEAN}") for table in tables if sum(table.ranked) > 1]
    reasons = dict.fromkeys(
        verdict.reason for verdict in verdicts if verdict is not None and verdict.reason
    )
    for reason in reasons:
        yield f"No test of differences: {reason}."
    if any(verdict is not None and not verdict.reason for verdict in verdicts):
        yield (
            "†: not told apart from the best (two-sided Wilcoxon signed-rank test paired over cases, Holm's correction "
            "over all pairs of methods, p at least 0.05)."
        )


def describe_marks(*, places: bool) -> Iterator[str]:
    """Yield what bold and underlined mean, if there are any."""
    if places:
        yield "Best in bold, second underlined."


def list_runs(results: Sequence[RunResult]) -> tuple[str, ...]:
    """Return a line per run that says which method's numbers it is part of."""
    return tuple(f"{result.label}: {result.run_id} ({result.status})" for result in results)


def _count(word: str, numbers: Sequence[int]) -> str:
    return f"{word}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
