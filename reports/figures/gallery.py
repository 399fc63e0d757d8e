"""Which pictures a set of results has something for, under which names, with which caption."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from reports.analysis.comparison import MethodComparison
from reports.analysis.statistics import Friedman, TooFewError, bootstrap_ranks, friedman_nemenyi
from reports.figures.curves import draw_kshot, draw_learning, draw_tuning
from reports.figures.distributions import draw_cases, draw_critical_difference, draw_ranks
from reports.figures.panels import draw_panels, pick_cases
from reports.figures.style import Looks
from reports.figures.tradeoff import AXES, draw_tradeoff
from reports.records.run import RunResult, Status
from reports.records.slices import CaseSlices
from reports.records.study import StudyRecord
from reports.tables.table import make_slug
from reports.tables.wording import describe_setting

ReadSlices = Callable[
    [RunResult, str], CaseSlices | None
]  # of a run's case; None where the run kept none


@dataclass(frozen=True)
class Picture:
    """A picture that can be drawn; ``slug`` names its file, ``setting`` says under what it stands, ``case`` is the one
    that it shows, if it is of one."""

    slug: str
    setting: str
    title: str
    caption: str
    draw: Callable[[], Figure] = field(repr=False)
    case: str = ""


def list_pictures(
    tables: Sequence[MethodComparison],
    studies: Sequence[StudyRecord],
    read_slices: ReadSlices,
    looks: Looks,
) -> tuple[list[Picture], list[str]]:
    """Return the pictures of all settings, and a sentence for each that there is nothing for or too little."""
    pictures: list[Picture] = []
    absent: list[str] = []
    plans: list[Callable[[], Iterator[Picture]]] = []
    for table in tables:
        plans += [
            partial(_plan_tradeoffs, table, looks),
            partial(_plan_cases, table, looks),
            partial(_plan_ranks, table, looks),
            partial(_plan_learning, table, looks),
            partial(_plan_panels, table, read_slices, looks),
        ]
    plans += [partial(_plan_differences, group, looks) for group in _group(tables, "dataset")]
    plans += [
        partial(_plan_kshot, group, looks) for group in _group(tables, "shots") if len(group) > 1
    ]
    by_dataset: dict[tuple[str, ...], list[StudyRecord]] = {}
    for study in studies:
        by_dataset.setdefault(
            (study.dataset, study.backbone, study.weights, str(study.fold)), []
        ).append(study)
    plans += [partial(_plan_tuning, group, looks) for group in by_dataset.values()]
    for plan in plans:
        try:
            pictures += plan()
        except TooFewError as error:
            absent.append(f"not drawn: {error}")
    return pictures, list(dict.fromkeys(absent))


def _group(tables: Sequence[MethodComparison], but: str) -> list[list[MethodComparison]]:
    groups: dict[tuple[object, ...], list[MethodComparison]] = {}
    for table in tables:
        rest = tuple(value for key, value in vars(table.setting).items() if key != but)
        groups.setdefault(rest, []).append(table)
    return list(groups.values())


def _slug(
    name: str, table: MethodComparison, *, dataset: str | None = None, shots: bool = True
) -> str:
    few = f"{table.setting.shots}shot" if shots and table.setting.shots is not None else ""
    where = table.setting.dataset if dataset is None else dataset
    return make_slug(name, where, table.setting.backbone, table.setting.weights, few)


def _without_runs(table: MethodComparison) -> MethodComparison:
    """Return the table's numbers alone: what draws a picture is sent to another process."""
    return replace(table, results=(), cases=pd.DataFrame(), scores=pd.DataFrame())


def _describe(tables: Sequence[MethodComparison], subject: str, *more: str) -> str:
    return " ".join([*describe_setting(tables, subject), *more])


def _plan_tradeoffs(table: MethodComparison, looks: Looks) -> Iterator[Picture]:
    finished, numbers = table.rows[table.rows["note"] == ""], _without_runs(table)
    for axis in AXES:
        if finished[axis.cost].notna().any():
            front = "The line is the Pareto front: no other method is better and cheaper."
            yield Picture(
                _slug(f"dice-{axis.name}", table),
                str(table.setting),
                f"Dice against {axis.name}",
                _describe([table], f"Mean Dice against {axis.name} of methods", front),
                partial(draw_tradeoff, numbers, axis, looks),
            )


def _plan_cases(table: MethodComparison, looks: Looks) -> Iterator[Picture]:
    if not table.scores.empty:
        note = "Density, quartiles, and a point per held-out case, averaged over its seeds."
        caption = _describe([table], "Dice of the cases", note)
        draw = partial(draw_cases, table.scores, looks)
        yield Picture(_slug("cases", table), str(table.setting), "Case by case", caption, draw)


def _plan_ranks(table: MethodComparison, looks: Looks) -> Iterator[Picture]:
    if table.scores.shape[1] < 2:
        got = ", ".join(map(str, table.scores.columns)) or "none"
        raise TooFewError(f"rank intervals on {table.setting} must have two methods, got {got}")
    ranks = bootstrap_ranks(table.scores)
    caption = _describe(
        [table], "Ranks of methods", "95 % interval of the rank when cases are drawn anew."
    )
    yield Picture(
        _slug("ranks", table),
        str(table.setting),
        "Ranks",
        caption,
        partial(draw_ranks, ranks, looks),
    )


def _plan_differences(tables: Sequence[MethodComparison], looks: Looks) -> Iterator[Picture]:
    """Yield the critical-difference diagram over data sets where there are enough, else one for each over its cases."""
    means = pd.DataFrame(
        [table.scores.mean() for table in tables if not table.scores.empty]
    ).dropna(axis="columns")
    try:
        test = friedman_nemenyi(means)
    except TooFewError:
        for table in tables:
            if table.scores.shape[1] > 1:
                test = friedman_nemenyi(table.scores)
                blocks = f"{test.n_blocks} cases of {table.setting.dataset}"
                yield _plan_diagram([table], test, blocks, looks)
        return
    yield _plan_diagram(tables, test, f"{test.n_blocks} data sets", looks)


def _plan_diagram(
    tables: Sequence[MethodComparison], test: Friedman, blocks: str, looks: Looks
) -> Picture:
    together = len(tables) > 1
    slug = _slug("critical-difference", tables[0], dataset="all" if together else None)
    setting = "all data sets" if together else str(tables[0].setting)
    note = "Methods joined by a bar are not told apart by Nemenyi's test at 5 %."
    words = (f"Friedman's test over {blocks}: p = {test.p:.2g}.", note)
    caption = _describe(tables, "Critical-difference diagram of methods", *words)
    draw = partial(draw_critical_difference, test, blocks, looks)
    return Picture(slug, setting, "Critical difference", caption, draw)


def _plan_learning(table: MethodComparison, looks: Looks) -> Iterator[Picture]:
    runs = [
        replace(run, cases=()) for run in table.results if run.status == Status.DONE and run.curve
    ]
    if runs and not table.mixed:
        note = "Mean over folds and seeds; the band is from the lowest to the highest run."
        caption = _describe([table], "Learning curves of methods", note)
        draw = partial(draw_learning, runs, looks)
        yield Picture(
            _slug("learning", table), str(table.setting), "Learning curves", caption, draw
        )


def _plan_kshot(tables: Sequence[MethodComparison], looks: Looks) -> Iterator[Picture]:
    caption = _describe(
        tables, "Methods by number of training cases", "± standard deviation, as in the table."
    )
    slug, numbers = _slug("kshot", tables[0], shots=False), list(map(_without_runs, tables))
    yield Picture(
        slug,
        "few training cases",
        "Few training cases",
        caption,
        partial(draw_kshot, numbers, looks),
    )


def _plan_tuning(studies: Sequence[StudyRecord], looks: Looks) -> Iterator[Picture]:
    first = studies[0]
    if any(study.best is not None for study in studies):
        slug = make_slug(
            "tuning", first.dataset, first.backbone, first.weights, f"fold{first.fold}"
        )
        synthetic = "Data: SYNTHETIC phantoms, not patient data. " if first.synthetic else ""
        caption = (
            f"Tuning on {first.dataset}, fold {first.fold}; backbone {first.backbone}, weights: {first.weights}. "
            f"{synthetic}Dice of inner validation cases, on which the values are chosen: optimistic."
        )
        yield Picture(
            slug,
            "tuning",
            f"Tuning on {first.dataset}",
            caption,
            partial(draw_tuning, studies, looks),
        )


def _plan_panels(
    table: MethodComparison, read_slices: ReadSlices, looks: Looks
) -> Iterator[Picture]:
    """Yield the panels of the best, the median and the worst case; each method is shown by its run of lowest seed."""
    scores = table.scores
    for word, case in pick_cases(scores).items() if not scores.empty else ():
        slices = {}
        for label in scores.columns:
            runs = [
                run
                for run in table.results
                if run.label == label and any(row.case == case for row in run.cases)
            ]
            found = read_slices(min(runs, key=lambda run: run.seed), case)
            if found is not None:
                slices[str(label)] = found
        if slices:
            dices = dict(
                zip(map(str, scores.columns), scores.loc[case].to_numpy(float), strict=True)
            )
            note = f"Case {case}, the {word} by the mean over methods; slice with most disagreement; Dice (%) of the case."
            caption = _describe(
                [table], "Contours of methods", note, "White, dashed: the reference."
            )
            draw = partial(draw_panels, slices, dices, looks)
            yield Picture(
                _slug(f"panels-{word}", table),
                str(table.setting),
                f"The {word} case",
                caption,
                draw,
                case,
            )
