"""The table of tuning: what each method had by default, what it came to, what that cost, and which values it chose."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from reports.records.study import StudyRecord, TrialRecord
from reports.tables.table import MISSING, Column, Table, make_slug, number_cell, word_column

BAD = ("failed", "diverged", "oom", "skipped")


def tuning_tables(studies: Sequence[StudyRecord]) -> list[Table]:
    """Return the table of the studies, and their Pareto fronts where the number of parameters was an objective.

    Studies of different budgets or backbones are not put side by side: each setting has its own
    tables.
    """
    settings: dict[str, list[StudyRecord]] = {}
    for study in studies:
        shared = (
            study.backbone,
            study.weights,
            study.fold,
            study.shots,
            sorted(study.tune.items()),
        )
        settings.setdefault(str(shared), []).append(study)
    found = []
    for group in settings.values():
        found.append(tuning_table(group))
        if "params" in group[0].tune["objectives"] and any(study.front for study in group):
            found.append(front_table(group))
    return found


def front_table(studies: Sequence[StudyRecord]) -> Table:
    """Return the trials on each study's Pareto front of Dice and tuned parameters, from the fewest parameters on."""
    names = _name_rows(studies)
    rows = [
        (name, study, trial)
        for name, study in zip(names, studies, strict=True)
        for trial in study.front
    ]
    columns = (
        word_column("method", "Method", [name for name, _, _ in rows], 1),
        word_column("trial", "Trial", [str(trial.number + 1) for _, _, trial in rows], 1),
        _numbers("dice_pct", ("Inner Dice (%)",), [_dice_pct(trial) for _, _, trial in rows], 1),
        _numbers("tuned_m", ("Tuned M",), [trial.params_tuned / 1e6 for _, _, trial in rows], 3),
        word_column(
            "values", "Chosen", [_describe_values(study, trial) for _, study, trial in rows], 1
        ),
    )
    return Table(
        kind="front",
        slug=_slug("front", studies),
        title=f"Pareto front · {', '.join(dict.fromkeys(study.dataset for study in studies))} · {studies[0].backbone}",
        columns=columns,
        caption=(
            "No other trial of the method has both a higher Dice and fewer parameters.",
            *_caption(studies),
        ),
    )


def tuning_table(studies: Sequence[StudyRecord]) -> Table:
    """Return one row for each study, in the given order.

    Dice is that of the inner validation cases, on which the values were chosen: it is an optimistic
    number, and the held-out Dice of the final runs is the one to quote.
    """
    names = _name_rows(studies)
    defaults, bests = (
        [_dice_pct(study.default) for study in studies],
        [_dice_pct(study.best) for study in studies],
    )
    gaps = [best - default for best, default in zip(bests, defaults, strict=True)]
    hours = [study.fit_s / 3600 for study in studies]
    columns = (
        word_column("method", "Method", names, 2),
        _numbers("default_pct", ("Inner Dice (%)", "default"), defaults, 1),
        _numbers("tuned_pct", ("Inner Dice (%)", "tuned"), bests, 1),
        _numbers("gap_pct", ("Inner Dice (%)", "gap"), gaps, 1),
        word_column("trials", "Trials", [_count(study) for study in studies], 2),
        _numbers("fit_h", ("Fit", "h"), hours, 3),
        word_column(
            "values", "Chosen", [_describe_values(study, study.best) for study in studies], 2
        ),
    )
    datasets = ", ".join(dict.fromkeys(study.dataset for study in studies))
    return Table(
        kind="tuning",
        slug=_slug("tuning", studies),
        title=f"tuning · {datasets} · {studies[0].backbone}",
        columns=columns,
        caption=tuple(_caption(studies)),
        notes=tuple(_failures(studies)),
        comments=tuple(f"study {study.name}, fold {study.fold}" for study in studies),
    )


def _caption(studies: Sequence[StudyRecord]) -> list[str]:
    tune = studies[0].tune
    amount = f"{tune['budget_s']:.0f} s of fit" if tune["budget_s"] else f"{tune['trials']} trials"
    epochs = f", {tune['epochs']} epochs a trial" if tune["epochs"] else ""
    reuse = (
        "each fold has its own study"
        if tune["per_fold"]
        else f"fold {studies[0].fold} is tuned on for all folds"
    )
    sentences = [
        f"Equal budget: {amount} a method{epochs} ({tune['sampler']}, pruning: {tune['pruner']}); {reuse}.",
        "Inner Dice is of the validation cases inside the training part, on which the values were chosen.",
    ]
    synthetic = {study.synthetic for study in studies}
    if True in synthetic:
        sentences.insert(0, "SYNTHETIC phantoms, not patients.")
    if any(study.weights == "none" for study in studies):
        sentences.append("Backbone with random weights.")
    return sentences


def _failures(studies: Sequence[StudyRecord]) -> list[str]:
    return [
        f"{study.method}, trial {trial.number}: {trial.status}: {trial.reason}"
        for study in studies
        for trial in study.trials
        if trial.status in BAD
    ]


def _count(study: StudyRecord) -> str:
    pruned = sum(trial.status == "pruned" for trial in study.trials)
    bad = sum(trial.status in BAD for trial in study.trials)
    words = [f"{number} {word}" for number, word in ((pruned, "pruned"), (bad, "bad")) if number]
    return f"{len(study.trials)}" + (f" ({', '.join(words)})" if words else "")


def _slug(kind: str, studies: Sequence[StudyRecord]) -> str:
    """Return a name that no other setting has."""
    first, datasets = studies[0], ",".join(dict.fromkeys(study.dataset for study in studies))
    shots = f"shots{first.shots}" if first.shots else ""
    budget = "-".join(str(first.tune[name]) for name in ("trials", "budget_s", "sampler", "pruner"))
    return make_slug(kind, datasets, first.backbone, first.weights, f"f{first.fold}", shots, budget)


def _name_rows(studies: Sequence[StudyRecord]) -> list[str]:
    n_datasets = len({study.dataset for study in studies})
    return [
        f"{study.method} · {study.dataset}" if n_datasets > 1 else study.method for study in studies
    ]


def _describe_values(study: StudyRecord, trial: TrialRecord | None) -> str:
    """Return the values of a trial that differ from the default."""
    if trial is None:
        return MISSING
    default = study.trials[0].values
    changed = {
        key.removeprefix("method."): value
        for key, value in trial.values.items()
        if value != default.get(key)
    }
    rounded = {
        key: f"{value:.2g}" if isinstance(value, float) else str(value)
        for key, value in changed.items()
    }
    return ", ".join(f"{key}={text}" for key, text in rounded.items()) or "the default"


def _dice_pct(trial: TrialRecord | None) -> float:
    return nan if trial is None or trial.dice is None else 100 * trial.dice


def _numbers(key: str, heads: tuple[str, ...], values: Sequence[float], digits: int) -> Column:
    return Column(key, heads, tuple(number_cell(value, digits) for value in values))
