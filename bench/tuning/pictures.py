"""Optuna's own pictures of a study, as PNG files."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.records.study import PREFIX

if TYPE_CHECKING:
    from optuna import Study


def draw_study(study: Study, folder: Path) -> list[Path]:
    """Draw history, parallel coordinates, slices and importances of the first objective, and the front of two.

    Returns the files.

    Importances need two trials that came to different values; where Optuna cannot tell them, that
    picture is left out.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from optuna.exceptions import ExperimentalWarning
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.visualization import matplotlib as drawing

    def dice(trial: Any) -> float:
        return float(trial.values[0])

    target: dict[str, Any] = {"target": dice, "target_name": "inner Dice"}
    pictures: dict[str, Callable[[], Any]] = {
        "history": lambda: drawing.plot_optimization_history(study, **target),
        "parallel": lambda: drawing.plot_parallel_coordinate(study, **target),
        "slice": lambda: drawing.plot_slice(study, **target),
        "importances": lambda: drawing.plot_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(evaluate_on_local=False), **target
        ),
    }
    if len(study.directions) > 1:
        names = ["inner Dice", "tuned parameters"]
        pictures["front"] = lambda: drawing.plot_pareto_front(study, target_names=names)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings(
            "ignore", category=UserWarning
        )  # of matplotlib and Optuna, about style
        for name, draw in pictures.items():
            if name == "importances" and not _can_be_ranked(study):
                continue
            draw()
            file = folder / f"{PREFIX}{name}.png"
            plt.gcf().savefig(file, dpi=110, bbox_inches="tight")
            plt.close("all")
            files.append(file)
    return files


def _can_be_ranked(study: Study) -> bool:
    values = {trial.values[0] for trial in study.get_trials(deepcopy=False) if trial.values}
    return len(values) > 1
