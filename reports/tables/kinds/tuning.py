"""The tables of tuning: what each method gained, what that cost, and which values it chose."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import nan
from typing import Any

from reports.analysis.references import place_studies
from reports.names import BUILT_IN_NAMES, Names, name_dataset
from reports.records.edges import describe_ends
from reports.records.study import StudyRecord, TrialRecord
from reports.tables.table import (
    MISSING,
    Cell,
    Column,
    Head,
    Table,
    align_heads,
    fill_columns,
    make_slug,
)
from reports.tables.wording import join_values, list_values

EDGE = "edge"  # beside a value in the column of the chosen ones
BAD = ("failed", "diverged", "oom", "timeout", "skipped")
TUNING_HEADS = (
    Head("method", ("Method",)),
    Head("default_pct", ("Inner Dice (%)", "default"), 1),
    Head("tuned_pct", ("Inner Dice (%)", "tuned"), 1),
    Head("gap_pct", ("Inner Dice (%)", "gap"), 1),
    Head("trials", ("Trials",)),
    Head("fit_h", ("Fit", "h"), 3),
    Head("values", ("Chosen",)),
)
FRONT_HEADS = (
    Head("method", ("Method",)),
    Head("trial", ("Trial",)),
    Head("dice_pct", ("Inner Dice (%)",), 1),
    Head("tuned_m", ("Tuned M",), 3),
    Head("values", ("Chosen",)),
)


def tuning_tables(studies: Sequence[StudyRecord], names: Names = BUILT_IN_NAMES) -> list[Table]:
    """Return a table per setting and budget, and a Pareto front if parameters were an objective."""
    settings: dict[str, list[StudyRecord]] = {}
    for study in place_studies(studies):
        budget = sorted(study.tune.items())
        shared = (study.backbone, study.weights, study.fold, study.shots, budget)
        settings.setdefault(str(shared), []).append(study)
    found = []
    for group in settings.values():
        found.append(tuning_table(group, names))
        if "params" in group[0].tune["objectives"] and any(study.front for study in group):
            found.append(front_table(group, names))
    return found


def tuning_table(studies: Sequence[StudyRecord], names: Names = BUILT_IN_NAMES) -> Table:
    """Return a row per study; inner Dice is optimistic: quote held-out Dice of the final runs."""
    rows = []
    notes = []
    for study, name in zip(studies, _name_rows(studies, names), strict=True):
        default, best = _dice_pct(study.default), _dice_pct(study.best)
        row: dict[str, Any] = {"method": name, "fit_h": study.fit_s / 3600}
        row |= {"default_pct": default, "tuned_pct": best, "gap_pct": best - default}
        row |= {"trials": _count_trials(study), "values": _describe_values(study, study.best)}
        rows.append(row)
        if not study.trials[0].values:
            notes.append(
                f"{names.label(study.method)}: nothing that is searched has an effect: one trial"
            )
        notes += list_edges(study, names)
        for trial in study.trials:
            if trial.status in BAD:
                ending = f"{trial.status}: {trial.reason}"
                notes.append(f"{names.label(study.method)}, trial {trial.number}: {ending}")
    shown = fill_columns(TUNING_HEADS, rows)
    table = _assemble("tuning", "tuning", studies, shown, names)
    comments = tuple(f"study {study.name}, fold {study.fold}" for study in studies)
    return replace(table, notes=tuple(notes), comments=comments)


def list_edges(study: StudyRecord, names: Names = BUILT_IN_NAMES) -> list[str]:
    """Return a sentence for each best value that is at an end of what was searched."""
    sentences = []
    values = study.best.values if study.best else {}
    for key, end in study.edges.items():
        name, span = key.removeprefix("method."), describe_ends(study.space[key])
        where = f"{name}={_format_value(values[key])} is at the {end} end of {span}"
        sentences.append(f"{names.label(study.method)}: {where}; a better value may be outside")
    return sentences


def front_table(studies: Sequence[StudyRecord], names: Names = BUILT_IN_NAMES) -> Table:
    """Return the trials on each study's Pareto front, from the fewest tuned parameters on."""
    rows = []
    for study, name in zip(studies, _name_rows(studies, names), strict=True):
        for trial in study.front:
            row: dict[str, Any] = {"method": name, "trial": trial.number + 1}
            row |= {"dice_pct": _dice_pct(trial), "tuned_m": trial.params_tuned / 1e6}
            rows.append(row | {"values": _describe_values(study, trial)})
    shown = fill_columns(FRONT_HEADS, rows)
    table = _assemble("front", "Pareto front", studies, shown, names)
    first = "No other trial of the method has both a higher Dice and fewer parameters."
    return replace(table, caption=(first, *table.caption))


def _assemble(
    kind: str, name: str, studies: Sequence[StudyRecord], columns: list[Column], names: Names
) -> Table:
    first = studies[0]
    datasets = join_values(studies, "dataset")
    titles = ", ".join(dict.fromkeys(_name_dataset(study, names) for study in studies))
    shots = f"shots{first.shots}" if first.shots else ""
    budget = "-".join(str(first.tune[key]) for key in ("trials", "budget_s", "sampler", "pruner"))
    where = (datasets.replace(", ", "-"), first.backbone, first.weights, f"f{first.fold}")
    slug = make_slug(kind, *where, shots, budget)
    title = f"{name} · {titles} · {names.find(first.backbone)}"
    return Table(kind, slug, title, align_heads(columns), tuple(_write_caption(studies)))


def _write_caption(studies: Sequence[StudyRecord]) -> list[str]:
    tune = studies[0].tune
    epochs = f", {tune['epochs']} epochs a trial" if tune["epochs"] else ""
    reuse = f"fold {studies[0].fold} is tuned on for all folds"
    if tune["per_fold"]:
        reuse = "each fold has its own study"
    search = f"({tune['sampler']}, pruning: {tune['pruner']})"
    sentences = [
        f"Equal budget: {studies[0].budget} a method{epochs} {search}; {reuse}.",
        "Inner Dice is of the validation cases inside the training part, "
        "on which the values were chosen.",
    ]
    if any(study.edges for study in studies):
        sentences.append(
            f"({EDGE}): at an end of what was searched; a better value may be outside."
        )
    if any(study.synthetic for study in studies):
        sentences.insert(0, "SYNTHETIC phantoms, not patients.")
    if any(study.weights == "none" for study in studies):
        sentences.append("Backbone with random weights.")
    return sentences


def _name_rows(studies: Sequence[StudyRecord], names: Names) -> list[Cell]:
    several = len(list_values(studies, "dataset")) > 1
    cells = []
    for study in studies:
        text, key = names.label(study.method), study.method
        if several:
            text, key = f"{text} · {_name_dataset(study, names)}", f"{key} · {study.dataset}"
        cells.append(Cell(text, key=key))
    return cells


def _name_dataset(study: StudyRecord, names: Names) -> str:
    return name_dataset(study.dataset, study.dataset_title, names)


def _count_trials(study: StudyRecord) -> str:
    counts = Counter(trial.status for trial in study.trials)
    words = []
    if counts["pruned"]:
        words.append(f"{counts['pruned']} pruned")
    n_bad = sum(counts[status] for status in BAD)
    if n_bad:
        words.append(f"{n_bad} bad")
    if not words:
        return str(len(study.trials))
    return f"{len(study.trials)} ({', '.join(words)})"


def _describe_values(study: StudyRecord, trial: TrialRecord | None) -> str:
    if trial is None:
        return MISSING
    default = study.trials[0].values
    words = []
    for key, value in trial.values.items():
        at_edge = trial is study.best and key in study.edges
        if value != default.get(key) or at_edge:
            text = f"{key.removeprefix('method.')}={_format_value(value)}"
            words.append(f"{text} ({EDGE})" if at_edge else text)
    return ", ".join(words) or "the default"


def _format_value(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _dice_pct(trial: TrialRecord | None) -> float:
    if trial is None or trial.dice is None:
        return nan
    return 100 * trial.dice
