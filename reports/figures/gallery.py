"""Which pictures a set of results has something for, under which names, with which caption."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from reports.analysis.cases.shared import describe_shared_cases
from reports.analysis.comparison import MethodComparison
from reports.analysis.ranks import Friedman, friedman_nemenyi, rank_intervals
from reports.analysis.statistics import TooFewError
from reports.analysis.tidy import name_dataset
from reports.figures.curves import draw_kshot, draw_learning, draw_tuning
from reports.figures.distributions import draw_cases, draw_critical_difference, draw_ranks
from reports.figures.panels import ShownCase, draw_panels, pick_cases, pick_failing
from reports.figures.picture import Compared, Draw, Picture, Words
from reports.figures.style import Looks
from reports.figures.tradeoff import AXES, Axis, draw_tradeoff, finished_with
from reports.names import BUILT_IN_NAMES, Names
from reports.records.run import REFERENCE, RunResult, Status
from reports.records.slices import CaseSlices
from reports.records.study import StudyRecord
from reports.tables.assemble import group_comparisons, name_setting
from reports.tables.table import make_slug
from reports.tables.wording import describe_scores

# Returns the slices of a run's case; None if the run kept none.
ReadSlices = Callable[[RunResult, str], CaseSlices | None]


FRONT = (
    "The line is the Pareto front: no other method has a mean that is better and cheaper. "
    "Bars: 95 % intervals of the means."
)
ZERO = "A method that tunes nothing is left of the dotted line, outside of the logarithmic scale."
RINGED = "A ring marks a reference network."
ANEW = "95 % interval of the rank: from 1 + the number of methods that are better beyond chance."
INNER = "Dice of inner validation cases, on which the values are chosen: optimistic."
Plan = Iterator[Picture]


def _describe_points(comparison: MethodComparison) -> str:
    averaged = ", averaged over its seeds" if _has_seeds(comparison) else ""
    return f"Density, quartiles, and a point per held-out case{averaged}."


def _describe_band(comparison: MethodComparison) -> str:
    if comparison.rows["n_runs"].max() > 1:
        return "Mean over folds and seeds; the band is from the lowest to the highest run."
    return "One run per method."


def _has_seeds(comparison: MethodComparison) -> bool:
    return len({run.seed for run in comparison.results}) > 1


# Returns the drawing of the methods in one setting; None if there is nothing to draw.
Prepare = Callable[[MethodComparison, Looks], Draw | None]


def _prepare_tradeoff(axis: Axis, comparison: MethodComparison, looks: Looks) -> Draw | None:
    if finished_with(comparison, axis.cost).empty:
        return None
    return partial(draw_tradeoff, _without_runs(comparison), axis, looks)


def _prepare_cases(comparison: MethodComparison, looks: Looks) -> Draw | None:
    if comparison.scores.empty:
        return None
    return partial(draw_cases, comparison.scores, looks)


def _prepare_ranks(comparison: MethodComparison, looks: Looks) -> Draw | None:
    names = list(map(str, comparison.scores.columns))
    if len(names) < 2:
        got = ", ".join(map(comparison.names.label, names)) or "none"
        where = f"rank intervals on {comparison.title}"
        raise TooFewError(f"{where} must have two methods, got {got}")
    return partial(draw_ranks, rank_intervals(comparison.scores, comparison.runs), looks)


def _prepare_learning(comparison: MethodComparison, looks: Looks) -> Draw | None:
    runs = []
    for run in comparison.results:
        if run.status == Status.DONE and run.curve:
            runs.append(replace(run, cases=()))
    if not runs or comparison.mixed:
        return None
    return partial(draw_learning, runs, looks)


def _without_runs(comparison: MethodComparison) -> MethodComparison:
    """Return the numbers alone: what draws a picture is sent to another process."""
    return replace(comparison, results=(), cases=pd.DataFrame(), scores=pd.DataFrame())


def _word_tradeoff(axis: Axis) -> Words:
    against = f"against {axis.name}"
    note = f"{FRONT} {ZERO}" if axis.logarithmic else FRONT
    return Words(f"dice-{axis.name}", f"Dice {against}", f"Mean Dice {against} of methods", note)


PICTURES: dict[Words, Prepare] = {  # of one setting
    **{_word_tradeoff(axis): partial(_prepare_tradeoff, axis) for axis in AXES},
    Words("cases", "Case by case", "Dice of the cases"): _prepare_cases,
    Words("ranks", "Ranks", "Ranks of methods", ANEW): _prepare_ranks,
    Words("learning", "Learning curves", "Learning curves of methods"): _prepare_learning,
}
NOTES = {"cases": _describe_points, "learning": _describe_band}  # which depend on the runs


def list_pictures(
    comparisons: Compared,
    studies: Sequence[StudyRecord],
    read_slices: ReadSlices,
    looks: Looks,
    names: Names = BUILT_IN_NAMES,
) -> tuple[list[Picture], list[str]]:
    """Return the pictures of all settings, and a sentence for each that has too few data."""
    plans: list[Plan] = []
    for comparison in comparisons:
        for words, prepare in PICTURES.items():
            plans.append(_plan_one(words, prepare, comparison, looks))
        plans.append(_plan_panels(comparison, read_slices, looks))
    for group in group_comparisons(comparisons, "dataset"):
        plans.append(_plan_differences(group, looks))
    for group in group_comparisons(comparisons, "shots"):
        plans.append(_plan_kshot(group, looks))
    plans.append(_plan_tuning(studies, looks, names))
    pictures: list[Picture] = []
    absent: dict[str, None] = {}
    for plan in plans:
        try:
            pictures += plan
        except TooFewError as error:
            absent[f"not drawn: {error}"] = None
    return pictures, list(absent)


def _plan_one(words: Words, prepare: Prepare, comparison: MethodComparison, looks: Looks) -> Plan:
    draw = prepare(comparison, looks)
    if words.note.startswith(FRONT) and (comparison.rows["kind"] == REFERENCE).any():
        words = replace(words, note=f"{words.note} {RINGED}")
    if draw is not None:
        if words.name in NOTES:
            words = replace(words, note=NOTES[words.name](comparison))
        yield words.put_on(draw, [comparison])


def _plan_panels(comparison: MethodComparison, read_slices: ReadSlices, looks: Looks) -> Plan:
    """Yield the panels of the best, the median and the worst case, and of two cases together."""
    scores = comparison.scores
    if scores.empty:
        return
    picked = pick_cases(scores)
    for word, case in picked.items():
        shown = _read_case(comparison, read_slices, case)
        if shown is not None:
            how = _describe_panels(comparison)
            note = f"Case {case}, the {word} by the mean over methods; {how}"
            words = Words(f"panels-{word}", f"The {word} case", "Contours of methods", note)
            draw = partial(draw_panels, [shown], looks)
            yield replace(words.put_on(draw, [comparison]), case=case)
    median = picked.get("median")
    failing, method = pick_failing(scores)
    pair = [_read_case(comparison, read_slices, case) for case in (median or failing, failing)]
    if median in (None, failing) or None in pair:
        return
    titles = (f"median case: {median}", f"failing case: {failing}")
    both = [replace(each, title=title) for each, title in zip(pair, titles, strict=True) if each]
    by = comparison.names.label(method)
    note = (
        f"Case {median}, the median by the mean over methods, and case {failing}, with the lowest "
        f"Dice of all methods and cases (of {by}); "
        f"{_describe_panels(comparison)}"
    )
    words = Words("panels", "A median and a failing case", "Contours of methods", note)
    yield words.put_on(partial(draw_panels, both, looks), [comparison])


def _describe_panels(comparison: MethodComparison) -> str:
    of_case = "Dice (%) of the case"
    if _has_seeds(comparison):
        of_case += " averaged over its seeds, contours of the lowest seed"
    return f"slice with most disagreement; {of_case}. White, dashed: the reference."


def _read_case(
    comparison: MethodComparison, read_slices: ReadSlices, case: str
) -> ShownCase | None:
    """Return the slices and scores of a case by method; None if no run has kept any."""
    scores = comparison.scores
    slices = {}
    for label in scores.columns:
        found = read_slices(_find_run(comparison.results, label, case), case)
        if found is not None:
            slices[str(label)] = found
    dices = dict(zip(scores.columns, scores.loc[case].to_numpy(float), strict=True))
    return ShownCase(slices, dices) if slices else None


def _find_run(runs: Sequence[RunResult], label: str, case: str) -> RunResult:
    """Return the run of lowest seed of a method that has the case."""
    found = []
    for run in runs:
        if run.label == label and any(row.case == case for row in run.cases):
            found.append(run)
    return min(found, key=lambda run: run.seed)


def _plan_differences(comparisons: Compared, looks: Looks) -> Plan:
    """Yield the critical-difference diagram over data sets, or with few one for each over cases."""
    means = [each.scores.mean() for each in comparisons if not each.scores.empty]
    try:
        test = friedman_nemenyi(pd.DataFrame(means).dropna(axis="columns"))
    except TooFewError:
        for comparison in comparisons:
            if comparison.scores.shape[1] > 1:
                test = friedman_nemenyi(comparison.scores)
                blocks = f"{test.n_blocks} cases of {comparison.heading}"
                yield _label_diagram([comparison], test, blocks, looks)
        return
    picture = _label_diagram(comparisons, test, f"{test.n_blocks} data sets", looks)
    if len(comparisons) > 1:
        slug = make_slug("critical-difference-all", *name_setting(comparisons[0].setting)[1:])
        picture = replace(picture, slug=slug, setting="all data sets")
    yield picture


def _label_diagram(comparisons: Compared, test: Friedman, blocks: str, looks: Looks) -> Picture:
    joined = "Methods joined by a bar are not told apart by Nemenyi's test at 5 %."
    sentences = [f"Friedman's test over {blocks}: p = {test.p:.2g}.", joined]
    note = " ".join([*sentences, *describe_shared_cases(comparisons)])
    subject = "Critical-difference diagram of methods"
    words = Words("critical-difference", "Critical difference", subject, note)
    return words.put_on(partial(draw_critical_difference, test, blocks, looks), comparisons)


def _plan_kshot(comparisons: Compared, looks: Looks) -> Plan:
    if len(comparisons) < 2:
        return
    subject = "Methods by number of training cases"
    words = Words("kshot", "Few training cases", subject, describe_scores(comparisons, "shots"))
    draw = partial(draw_kshot, list(map(_without_runs, comparisons)), looks)
    slug = make_slug("kshot", *name_setting(replace(comparisons[0].setting, shots=None)))
    picture = words.put_on(draw, comparisons, "shots")
    yield replace(picture, slug=slug, setting="few training cases")


def _plan_tuning(studies: Sequence[StudyRecord], looks: Looks, names: Names) -> Plan:
    groups: dict[tuple[object, ...], list[StudyRecord]] = {}
    for study in studies:
        cell = study.cell
        shared = (cell.dataset, cell.backbone, cell.weights, cell.fold, cell.shots, study.budget)
        groups.setdefault(shared, []).append(study)
    for group in groups.values():
        if all(study.best is None for study in group):
            continue
        first = group[0]
        heading = name_dataset(first.dataset, first.dataset_title, names)
        backbone, weights = names.find(first.backbone), names.find(first.weights)
        where = f"Tuning on {heading}, fold {first.fold}; backbone {backbone}"
        few = f" Trained on {first.shots} cases." if first.shots else ""
        budget = f" Budget: {first.budget} a method." if first.budget else ""
        sentences = [f"{where}, weights: {weights}.{few}{budget}"]
        if first.synthetic:
            sentences.append("Data: SYNTHETIC phantoms, not patient data.")
        sentences.append(INNER)
        shots = f"{first.shots}shot" if first.shots else ""
        parts = (first.dataset, first.backbone, first.weights, f"fold{first.fold}", shots)
        slug = make_slug("tuning", *parts, first.budget)
        draw = partial(draw_tuning, group, looks)
        yield Picture(slug, "tuning", f"Tuning on {heading}", " ".join(sentences), draw)
