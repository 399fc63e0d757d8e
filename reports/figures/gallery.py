"""Which pictures a set of results has something for, under which names, with which caption."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from reports.analysis.cases.shared import describe_shared_cases
from reports.analysis.claims.noninferiority import MARGIN_POINTS
from reports.analysis.comparison import MethodComparison
from reports.analysis.paired.intervals import LEAST_FOR_COVERAGE
from reports.analysis.ranks import Friedman, friedman_nemenyi, rank_intervals
from reports.analysis.statistics import TooFewError
from reports.analysis.tidy import MEAN
from reports.figures.curves import draw_kshot, draw_learning, draw_tuning
from reports.figures.differences import draw_forest, draw_gaps
from reports.figures.distributions import draw_cases, draw_critical_difference, draw_ranks
from reports.figures.picture import (
    ROUGH,
    Compared,
    Draw,
    Picture,
    Plan,
    Words,
    describe_band,
    describe_compared,
    describe_points,
    describe_ranks,
    describe_rough,
    has_seeds,
)
from reports.figures.qualitative import ReadSlices, plan_panels
from reports.figures.style import Looks
from reports.figures.tradeoff import AXES, Axis, describe_tradeoff, draw_tradeoff, finished_with
from reports.names import BUILT_IN_NAMES, Names, name_dataset
from reports.records.run import Status
from reports.records.study import StudyRecord
from reports.tables.assemble import group_comparisons, name_setting
from reports.tables.kinds.differences import describe_unfinished
from reports.tables.kinds.gap import find_gaps
from reports.tables.kinds.noninferiority import compare_at_margin
from reports.tables.table import make_slug
from reports.tables.wording import describe_scores

INNER = "Dice of inner validation cases, on which the values are chosen: optimistic."
FINDINGS = (
    "Intervals are not corrected, findings are (Holm): non-inferior: above the lower margin; "
    "equivalent: also below the upper; inferior: below the lower; undecided: none of them."
)
GAPS = "Hollow: default; filled: tuned. Intervals of the difference are over the cases of both."


@dataclass(frozen=True)
class Wanted:
    """What a request says of pictures.

    Attributes:
        names: how everything is printed.
        reference: label or name of the method that differences are to; empty: full fine-tuning.
        margin_points: in points of Dice, for non-inferiority to it.
    """

    names: Names = BUILT_IN_NAMES
    reference: str = ""
    margin_points: float = MARGIN_POINTS


DEFAULT = Wanted()


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
    """Return mean Dice and costs alone: what draws a picture is sent to another process."""
    key = f"dice/{MEAN}"
    scopes = {key: comparison.scopes[key]} if key in comparison.scopes else {}
    empty = pd.DataFrame()
    small = replace(comparison, results=(), cases=empty, scores=empty, runs=empty)
    return replace(small, scopes=scopes, verdicts={})


def _word_tradeoff(axis: Axis) -> Words:
    against = f"against {axis.words or axis.name}"
    return Words(f"dice-{axis.name}", f"Dice {against}", f"Mean Dice {against} of methods")


PICTURES: dict[Words, Prepare] = {  # of one setting
    **{_word_tradeoff(axis): partial(_prepare_tradeoff, axis) for axis in AXES},
    Words("cases", "Case by case", "Dice of the cases"): _prepare_cases,
    Words("ranks", "Ranks", "Ranks of methods"): _prepare_ranks,
    Words("learning", "Learning curves", "Learning curves of methods"): _prepare_learning,
}
NOTES: dict[str, Callable[[MethodComparison], str]] = {  # which depend on the runs
    **{f"dice-{axis.name}": partial(describe_tradeoff, axis) for axis in AXES},
    "cases": describe_points,
    "ranks": describe_ranks,
    "learning": describe_band,
}


def list_pictures(
    comparisons: Compared,
    studies: Sequence[StudyRecord],
    read_slices: ReadSlices,
    looks: Looks,
    wanted: Wanted = DEFAULT,
) -> tuple[list[Picture], list[str]]:
    """Return the pictures of all settings, and a sentence for each that has too few data."""
    pictures: list[Picture] = []
    absent: dict[str, None] = {}
    for found in iter_pictures(comparisons, studies, read_slices, looks, wanted):
        if isinstance(found, Picture):
            pictures.append(found)
        else:
            absent[found] = None
    return pictures, list(absent)


def iter_pictures(
    comparisons: Compared,
    studies: Sequence[StudyRecord],
    read_slices: ReadSlices,
    looks: Looks,
    wanted: Wanted = DEFAULT,
) -> Iterator[Picture | str]:
    """Yield each picture as soon as it can be drawn, or a sentence if it has too few data."""
    plans: list[Plan] = []
    for comparison in comparisons:
        for words, prepare in PICTURES.items():
            plans.append(_plan_one(words, prepare, comparison, looks))
        plans.append(_plan_forest(comparison, looks, wanted))
        plans.append(plan_panels(comparison, read_slices, looks))
    for group in group_comparisons(comparisons, "dataset"):
        plans.append(_plan_critical(group, looks))
    for group in group_comparisons(comparisons, "shots"):
        plans.append(_plan_kshot(group, looks))
    plans.append(_plan_gaps(comparisons, looks))
    plans.append(_plan_tuning(studies, looks, wanted.names))
    for plan in plans:
        try:
            yield from plan
        except TooFewError as error:
            yield f"not drawn: {error}"


def _plan_one(words: Words, prepare: Prepare, comparison: MethodComparison, looks: Looks) -> Plan:
    draw = prepare(comparison, looks)
    if draw is not None:
        if words.name in NOTES:
            words = replace(words, note=NOTES[words.name](comparison))
        yield words.put_on(draw, [comparison])


def _plan_forest(comparison: MethodComparison, looks: Looks, wanted: Wanted) -> Plan:
    """Yield the differences to full fine-tuning, or to the method that was asked for."""
    if comparison.mixed or len(comparison.scores.columns) < 2:
        return
    asked, margin = wanted.reference, wanted.margin_points
    reference, found = compare_at_margin(comparison, asked, margin)
    shown = comparison.names.label(reference)
    subject = f"Difference of mean Dice to {shown}, margin {margin:g} % points (dashed),"
    sentences = [FINDINGS, *describe_rough(comparison), *describe_compared(comparison)]
    note = " ".join(sentences)
    words = Words("differences", f"Differences to {shown}", subject, note)
    yield words.put_on(partial(draw_forest, found, reference, margin, looks), [comparison])


def _plan_gaps(comparisons: Compared, looks: Looks) -> Plan:
    """Yield default against tuned settings, for each setting and budget that has both."""
    for found in find_gaps(comparisons):
        few = min(gap.n_cases for gap in found.gaps) < LEAST_FOR_COVERAGE
        note = f"{GAPS} {ROUGH}" if few else GAPS
        words = Words("gap", "Default and tuned", "Default against tuned settings", note)
        draw = partial(draw_gaps, found.gaps, found.tuned.names, looks)
        picture = words.put_on(draw, [found.default, found.tuned], "tuned")
        slug = make_slug("gap", *name_setting(found.tuned.setting))
        yield replace(picture, slug=slug, setting=found.tuned.title)


def _plan_critical(comparisons: Compared, looks: Looks) -> Plan:
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
    if any(map(has_seeds, comparisons)):
        sentences.append("Seeds are averaged: what they differ by does not enter the test.")
    for comparison in comparisons:
        sentences += describe_unfinished(comparison)
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
