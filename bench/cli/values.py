"""The runs of an experiment with the values that its preset ships."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from bench.cli.terminal import case_progress
from bench.grid.plan import Experiment, Plan, lay_out
from bench.tuning.best_values import apply_shipped


def lay_out_runs(experiment: Experiment, console: Console) -> Plan:
    """Return the plan of an experiment, with the values that come with the preset where they hold.

    Raises: as `lay_out`.
    """
    with case_progress(console) as on_case:
        plan = lay_out(experiment, on_case)
    if experiment.tuned is None:
        return plan
    return replace(plan, runs=tuple(apply_shipped(plan.runs, experiment.tuned)))
