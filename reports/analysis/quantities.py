"""What a table can show of a method: where each number comes from, its heading, its unit and its rounding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reports.analysis.tidy import MEAN
from reports.records.metrics import METRICS, Metric
from reports.records.run import Cost

FLOP_PER_MAC = 2  # a multiplication and an addition


@dataclass(frozen=True)
class CostQuantity:
    """A measurement of a run; None where it was not taken. ``timed``: it varies from run to run."""

    group: str
    head: str
    digits: int
    read: Callable[[Cost], float | None]
    timed: bool = False


COSTS = {
    "tuned_m": CostQuantity("Tuned", "M", 3, lambda cost: cost.params_tuned / 1e6),
    "tuned_pct": CostQuantity("Tuned", "%", 2, lambda cost: 100 * cost.params_tuned_frac),
    "forward_gflop": CostQuantity(
        "GFLOP",
        "forward",
        1,
        lambda cost: FLOP_PER_MAC * cost.compute.forward_gmac if cost.compute else None,
    ),
    "training_gflop": CostQuantity(
        "GFLOP",
        "training",
        1,
        lambda cost: FLOP_PER_MAC * cost.compute.training_gmac if cost.compute else None,
    ),
    "peak_mib": CostQuantity(
        "Memory (MiB)", "peak", 0, lambda cost: cost.peak_memory_mib, timed=True
    ),
    "saved_mib": CostQuantity(
        "Memory (MiB)",
        "activations",
        0,
        lambda cost: cost.memory.saved_for_backward_mib if cost.memory else None,
    ),
    "step_ms": CostQuantity(
        "Time",
        "step (ms)",
        1,
        lambda cost: 1000 * cost.train_step.median_s if cost.train_step else None,
        timed=True,
    ),
    "inference_s": CostQuantity(
        "Time",
        "volume (s)",
        2,
        lambda cost: cost.inference.median_s if cost.inference else None,
        timed=True,
    ),
    "merged_s": CostQuantity(
        "Time",
        "merged (s)",
        2,
        lambda cost: cost.merged.inference.median_s if cost.merged else None,
        timed=True,
    ),
    "fit_s": CostQuantity("Time", "fit (s)", 1, lambda cost: cost.fit_s, timed=True),
    "delta_mib": CostQuantity("Delta", "MiB", 2, lambda cost: cost.delta_mib),
    "energy_kj": CostQuantity(
        "Energy",
        "kJ",
        1,
        lambda cost: cost.energy_j / 1000 if cost.energy_j is not None else None,
        timed=True,
    ),
}
EFFICIENCY = tuple(COSTS)


def score_keys(regions: tuple[str, ...]) -> dict[str, tuple[Metric, str]]:
    """Return the columns that scores have: a key such as ``dice/WT``, and what it is of which region."""
    return {
        f"{name}/{region}": (metric, region)
        for name, metric in METRICS.items()
        for region in (*regions, MEAN)
    }


def list_shown(regions: tuple[str, ...]) -> list[str]:
    """Return the keys of the scores that the main table shows."""
    shown: list[str] = []
    for name, metric in METRICS.items():
        if metric.columns == "regions":
            shown += [f"{name}/{region}" for region in regions]
        if metric.columns:
            shown.append(f"{name}/{MEAN}")
    return shown
