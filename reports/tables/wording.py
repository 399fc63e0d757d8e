"""The sentences without which the numbers of a table cannot be read."""

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

from reports.analysis.comparison import MethodComparison
from reports.analysis.statistics import Verdict
from reports.analysis.tidy import MEAN, NO_BACKBONE, Setting, describe_decoder
from reports.records.cost import Cost
from reports.records.metrics import METRICS
from reports.records.run import REFERENCE, RunResult
from reports.tables.conditions import describe_runs, name_column
from reports.tables.table import Column
from reports.tables.training import define_metric

WHOLE = (
    "Reference: a 3-D network trained whole from random weights under the same protocol, "
    "without the backbone; its percentages of parameters are of itself."
)
FIT = "Fit: training and inner validation, without waiting for patches."
TIE = (
    "†: not told apart from the best ({test}; corrected step-down over all pairs of methods, "
    "p at least 0.05)."
)
OVER_CASES = (
    "two-sided permutation test of the mean by sign flips of the paired differences of cases, "
    "each averaged over its seeds; {trainings}"
)
OVER_TRAININGS = (
    "two-sided test of the mean, with the variances between trainings and between cases; "
    "{trainings}"
)
SPREADS = {"cases": "cases", "runs": "the means of folds and seeds"}


def list_values(items: Sequence[object], field: str) -> list[str]:
    """Return the different values of a field, such as "setting.dataset", as words."""
    return list(dict.fromkeys(map(str, map(attrgetter(field), items))))


def join_values(items: Sequence[object], field: str) -> str:
    """Return the different values of a field with commas."""
    return ", ".join(list_values(items, field))


def describe_setting(comparisons: Sequence[MethodComparison], subject: str) -> list[str]:
    """Return what was compared on which data, and whether any are synthetic."""
    datasets = join_values(comparisons, "heading")
    backbones = join_values(comparisons, "backbone")
    weights = list_values(comparisons, "weights")
    shots = set(map(attrgetter("setting.shots"), comparisons))
    found = [describe_decoder(each.setting, each.names) for each in comparisons]
    ending = "".join(f", {decoder}" for decoder in dict.fromkeys(filter(None, found)))
    where = f"backbone {backbones}, weights: {', '.join(weights)}{ending}"
    sentences = [f"{subject} on {datasets}; {where}."]
    if list_values(comparisons, "setting.backbone") == [NO_BACKBONE]:
        sentences = [f"{subject.replace('PET methods', 'reference networks')} on {datasets}."]
    if any((comparison.rows["kind"] == REFERENCE).any() for comparison in comparisons):
        sentences.append(WHOLE)
    if len(shots) == 1 and None not in shots:
        sentences.append(f"Trained on {shots.pop()} cases.")
    return [*sentences, *_describe_donors(comparisons), *_describe_data(comparisons)]


def _describe_donors(comparisons: Sequence[MethodComparison]) -> list[str]:
    """Return which runs the decoders are from that others than the trained ones began with."""
    donors: dict[str, str] = {}
    for comparison in comparisons:
        for run in comparison.results:
            if donor := run.provenance.get("decoder_from"):
                donors[donor["sha256"][:8]] = donor["run_id"]
    return [f"Decoder {start}: of run {run_id}." for start, run_id in donors.items()]


def _describe_data(comparisons: Sequence[MethodComparison]) -> list[str]:
    """Return which data are synthetic."""
    made = [comparison for comparison in comparisons if comparison.synthetic]
    if not made:
        return []
    names = f" of {join_values(made, 'heading')}" if len(made) < len(comparisons) else ""
    notes = dict.fromkeys(run.data_note for each in made for run in each.results if run.data_note)
    return [f"Data{names}: SYNTHETIC phantoms, not patient data.", *notes]


def describe_scores(
    comparisons: Sequence[MethodComparison], field: str = "dataset", *, intervals: bool = False
) -> str:
    """Return how many cases were scored, and what mean and spread, or interval, are over.

    ``field`` of `Setting` is that in which the settings differ.
    """
    columns: dict[str, list[str]] = {}  # by what the spread is over
    has_seeds = False
    for comparison in comparisons:
        name = name_column(comparison, field)
        columns.setdefault(SPREADS[comparison.spread_over], []).append(name)
        has_seeds |= len({run.seed for run in comparison.results}) > 1
    words = list(columns)
    if len(columns) > 1:
        words = [f"{over} ({', '.join(names)})" for over, names in columns.items()]
    first = " (each averaged over its seeds first)" if has_seeds else ""
    spread = f" ± standard deviation over {', over '.join(words)}"
    if intervals:
        spread = " [95 % interval of the mean, over the same cases and trainings as the tests]"
    return f"{describe_runs(comparisons, field)} Dice in %: mean over cases{first}{spread}."


def describe_parameters(comparisons: Sequence[MethodComparison]) -> list[str]:
    """Return what the columns of parameters count, and what their percentages are of."""
    costs: list[Cost] = []
    for comparison in comparisons:
        for run in comparison.results:
            if run.cost and run.kind != REFERENCE:
                costs.append(run.cost)
    plain = {cost.params_plain for cost in costs if cost.params_plain}
    averaged = ""
    if _differ_by_dataset(comparisons):
        averaged = " Counts are means over the data sets, on which they differ."
    size = f" ({plain.pop() / 1e6:.3f} M)" if len(plain) == 1 else ""
    other = ""
    if any(cost.params_other for cost in costs):
        other = ", with what the protocol trains in the backbone beside every method"
    return [
        "Parameters in millions (M). Tuned: by the method, without the decoder, in % of the "
        f"backbone. Tuned + decoder: all that is trained{other}; this and the total in % of "
        f"backbone and decoder without the method{size}.{averaged}"
    ]


def _differ_by_dataset(comparisons: Sequence[MethodComparison]) -> bool:
    """Return whether a method has other counts on one data set than on another."""
    counts: dict[tuple[Setting, str], set[int]] = {}
    for comparison in comparisons:
        for run in comparison.results:
            if run.cost:
                setting = comparison.setting
                key = (replace(setting, dataset=""), run.label)
                counts.setdefault(key, set()).add(run.cost.params_total)
    return len(comparisons) > 1 and any(len(found) > 1 for found in counts.values())


def describe_fit(columns: Sequence[Column]) -> list[str]:
    """Return what the time of the fit is, if there is a column of it."""
    return [FIT] if any(column.key == "fit_s" for column in columns) else []


def describe_metrics(comparisons: Sequence[MethodComparison]) -> list[str]:
    """Return the definition of each metric that is shown as a mean, and how often it is defined."""
    sentences = []
    for name, metric in METRICS.items():
        if not metric.columns or not metric.definition:
            continue
        lowest = min(comparison.rows[f"{name}_defined_frac"].min() for comparison in comparisons)
        where = ""
        if lowest < 1:
            where = f", where it is defined (at the least in {lowest:.0%} of them)"
        results = [result for comparison in comparisons for result in comparison.results]
        what = f"{metric.title}: {define_metric(metric, results)}"
        sentences.append(f"{what}, mean over regions, then cases{where}.")
    return sentences


def describe_verdict(comparisons: Sequence[MethodComparison]) -> list[str]:
    """Return what the mark of a tie means, or why there is none."""
    sentences = []
    for comparison in comparisons:
        verdict = comparison.verdicts.get(f"dice/{MEAN}")
        if verdict is None or sum(comparison.ranked) < 2:
            continue
        if verdict.reason:
            sentences.append(f"No test of differences: {verdict.reason}.")
        else:
            sentences.append(TIE.format(test=describe_test(comparison, verdict)))
    return list(dict.fromkeys(sentences))


def describe_test(comparison: MethodComparison, verdict: Verdict) -> str:
    """Return which test decided the verdict, and what it does not cover."""
    trainings = describe_trainings(comparison, verdict.n_trainings, verdict.n_folds)
    return (OVER_TRAININGS if verdict.n_trainings > 1 else OVER_CASES).format(trainings=trainings)


def describe_trainings(comparison: MethodComparison, n_trainings: int, n_folds: int) -> str:
    """Return how many trainings tests are over, and which differences are not in the tests.

    Args:
        n_trainings: per method; 1: the tests are over cases alone.
        n_folds: of the trainings.
    """
    if n_trainings > 1:
        limit = " (seeds of one fold: differences between training sets are not in these tests)"
        return f"{n_trainings} trainings per method{limit if n_folds == 1 else ''}"
    n_runs = comparison.rows["n_runs"].max()
    trainings = f"{n_runs} trainings per method, which are too few or not the same for all"
    if n_runs == 1:
        trainings = "one training per method"
    return f"{trainings}: differences between trainings are not in these tests"


def list_runs(results: Sequence[RunResult]) -> list[str]:
    """Return a line per run, so that a reader finds the runs behind each method's numbers."""
    return [f"{result.label}: {result.run_id} ({result.status})" for result in results]
