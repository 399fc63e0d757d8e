"""The runs of an experiment with the values that its preset ships."""

from __future__ import annotations

from rich.console import Console

from bench.cli.terminal import case_progress
from bench.grid.plan import Experiment, lay_out
from bench.specs.run import RunSpec
from bench.tuning.best_values import apply_shipped


def lay_out_runs(experiment: Experiment, console: Console) -> list[RunSpec]:
    """Return the cells of the grid, with the values that come with the preset where they hold.

    Raises: as `lay_out`.
    """
    with case_progress(console) as on_case:
        runs = lay_out(experiment, on_case)
    return runs if experiment.tuned is None else apply_shipped(runs, experiment.tuned)
