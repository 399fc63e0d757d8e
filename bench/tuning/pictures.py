"""Optuna's own pictures of a study, as PNG files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.records.study import PICTURE_PREFIX

if TYPE_CHECKING:
    from optuna import Study


def draw_study(study: Study, folder: Path) -> None:
    """Draw history, parallel coordinates, slices and importances of the inner Dice, and a front."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from optuna.exceptions import ExperimentalWarning

    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        for category in (ExperimentalWarning, UserWarning):  # about novelty and style
            warnings.simplefilter("ignore", category)
        for name, draw, options in _list_pictures(study):
            draw(study, **options)
            file = folder / f"{PICTURE_PREFIX}{name}.png"
            plt.gcf().savefig(file, dpi=110, bbox_inches="tight")
            plt.close("all")


def _list_pictures(study: Study) -> list[tuple[str, Any, dict[str, Any]]]:
    """Return (name, Optuna's function, its options) of each picture."""
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.visualization import matplotlib as drawing

    dice = {"target": lambda trial: trial.values[0], "target_name": "inner Dice"}
    pictures: list[tuple[str, Any, dict[str, Any]]] = [
        ("history", drawing.plot_optimization_history, dice),
        ("parallel", drawing.plot_parallel_coordinate, dice),
        ("slice", drawing.plot_slice, dice),
    ]
    values = {trial.values[0] for trial in study.get_trials(deepcopy=False) if trial.values}
    if len(values) > 1:
        ranking = {"evaluator": PedAnovaImportanceEvaluator(evaluate_on_local=False)}
        pictures.append(("importances", drawing.plot_param_importances, ranking | dice))
    if len(study.directions) > 1:
        names = {"target_names": ["inner Dice", "tuned parameters"]}
        pictures.append(("front", drawing.plot_pareto_front, names))
    return pictures
