"""Which cases are shown as pictures, of which runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from reports.analysis.comparison import MethodComparison
from reports.figures.panels import ShownCase, draw_panels, pick_cases, pick_failing
from reports.figures.picture import Picture, Plan, Words, has_seeds
from reports.figures.style import TEXT_IN, Looks
from reports.records.run import RunResult
from reports.records.slices import CaseSlices

# Returns the slices of a run's case; None if the run kept none.
ReadSlices = Callable[[RunResult, str], CaseSlices | None]
WORDS = ("worst", "median", "best")  # from top to bottom


def plan_panels(comparison: MethodComparison, read_slices: ReadSlices, looks: Looks) -> Plan:
    """Yield the panels of the best, the median and the worst case, and of two cases together."""
    scores = comparison.scores
    if scores.empty:
        return
    picked = pick_cases(scores)
    cases: dict[str, ShownCase] = {}
    for word in WORDS:
        shown = _read_case(comparison, read_slices, picked[word]) if word in picked else None
        if shown is not None:
            cases[word] = shown
    for word, shown in cases.items():
        note = f"Case {picked[word]}, the {word} by the mean over methods; "
        words = _word_panels(f"-{word}", f"The {word} case", note, comparison)
        draw = partial(draw_panels, [shown], looks)
        yield replace(words.put_on(draw, [comparison]), case=picked[word])
    if len(cases) > 1:
        yield _put_together(cases, picked, comparison, looks)
    yield from _plan_failing(picked, comparison, read_slices, looks)


def _put_together(
    cases: Mapping[str, ShownCase],
    picked: Mapping[str, str],
    comparison: MethodComparison,
    looks: Looks,
) -> Picture:
    """Return the picture of the worst, the median and the best case, two columns wide."""
    titled = [replace(each, title=f"{word}: {picked[word]}") for word, each in cases.items()]
    named = ", ".join(f"{word}: {picked[word]}" for word in cases)
    note = f"Cases by the mean over methods: {named}; "
    words = _word_panels("-all", "Worst, median and best case", note, comparison)
    draw = partial(draw_panels, titled, looks, width_in=TEXT_IN)
    return replace(words.put_on(draw, [comparison]), case=next(iter(picked.values())))


def _plan_failing(
    picked: Mapping[str, str], comparison: MethodComparison, read_slices: ReadSlices, looks: Looks
) -> Plan:
    """Yield the median case, and below it the one with the lowest Dice of any method."""
    failing, method = pick_failing(comparison.scores)
    median = picked.get("median")
    pair = [_read_case(comparison, read_slices, case) for case in (median or failing, failing)]
    if median in (None, failing) or None in pair:
        return
    titles = (f"median case: {median}", f"failing case: {failing}")
    both = [replace(each, title=title) for each, title in zip(pair, titles, strict=True) if each]
    by = comparison.names.label(method)
    note = (
        f"Case {median}, the median by the mean over methods, and case {failing}, with the lowest "
        f"Dice of all methods and cases (of {by}); "
    )
    words = _word_panels("", "A median and a failing case", note, comparison)
    yield replace(words.put_on(partial(draw_panels, both, looks), [comparison]), case=failing)


def _word_panels(end: str, title: str, note: str, comparison: MethodComparison) -> Words:
    note = f"{note}{_describe_panels(comparison)}"
    return Words(f"panels{end}", title, "Contours of methods", note)


def _describe_panels(comparison: MethodComparison) -> str:
    of_case = "Dice (%) of the case"
    if has_seeds(comparison):
        of_case += " averaged over its seeds, contours of the lowest seed"
    return (
        f"slice with most disagreement; {of_case}. Colours: regions. White, dashed: the reference."
    )


def _read_case(
    comparison: MethodComparison, read_slices: ReadSlices, case: str
) -> ShownCase | None:
    """Return the slices and scores of a case by method; None if no run has kept any."""
    scores = comparison.scores
    slices = {}
    for label in scores.columns:
        found = read_slices(find_run(comparison.results, label, case), case)
        if found is not None:
            slices[str(label)] = found
    dices = dict(zip(scores.columns, scores.loc[case].to_numpy(float), strict=True))
    regions = tuple(map(comparison.names.find, comparison.regions))
    return ShownCase(slices, dices, regions) if slices else None


def find_run(runs: Sequence[RunResult], label: str, case: str) -> RunResult:
    """Return the run of lowest seed of a method that has the case."""
    found = []
    for run in runs:
        if run.label == label and any(row.case == case for row in run.cases):
            found.append(run)
    return min(found, key=lambda run: run.seed)
