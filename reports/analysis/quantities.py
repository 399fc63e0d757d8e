"""The numbers that tables show of a method: scores by region, and costs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reports.analysis.tidy import MEAN
from reports.records.metrics import METRICS, Metric
from reports.records.run import Cost


@dataclass(frozen=True)
class CostQuantity:
    """A measurement of a run, as printed."""

    group: str  # the upper heading
    head: str
    digits: int
    field: str  # of `Cost`, with dots for its parts
    convert: Callable[[float], float] = float  # from the field to the printed unit
    timed: bool = False  # varies from run to run, so that it has a spread

    def read(self, cost: Cost) -> float | None:
        """Return the number as printed; None where it was not measured."""
        value: Any = cost
        for name in self.field.split("."):
            value = getattr(value, name, None)
        return None if value is None else self.convert(value)


def _to_flop(mac: float) -> float:
    return 2 * mac  # a multiplication and an addition


COSTS = {
    "tuned_m": CostQuantity("Tuned", "M", 3, "params_tuned", lambda count: count / 1e6),
    "tuned_pct": CostQuantity("Tuned", "%", 2, "params_tuned_frac", lambda frac: 100 * frac),
    "forward_gflop": CostQuantity("GFLOP", "forward", 1, "compute.forward_gmac", _to_flop),
    "training_gflop": CostQuantity("GFLOP", "training", 1, "compute.training_gmac", _to_flop),
    "peak_mib": CostQuantity("Memory (MiB)", "peak", 0, "peak_memory_mib", timed=True),
    "saved_mib": CostQuantity("Memory (MiB)", "activations", 0, "memory.saved_for_backward_mib"),
    "step_ms": CostQuantity("Time", "step (ms)", 1, "train_step.median_s", lambda s: 1e3 * s, True),
    "inference_s": CostQuantity("Time", "volume (s)", 2, "inference.median_s", timed=True),
    "merged_s": CostQuantity("Time", "merged (s)", 2, "merged.inference.median_s", timed=True),
    "fit_s": CostQuantity("Time", "fit (s)", 1, "fit_s", timed=True),
    "delta_mib": CostQuantity("Delta", "MiB", 2, "delta_mib"),
    "energy_kj": CostQuantity("Energy", "kJ", 1, "energy_j", lambda joule: joule / 1000, True),
}


def score_keys(regions: tuple[str, ...]) -> dict[str, tuple[Metric, str]]:
    """Return the metric and the region of each column of scores, by its key such as ``dice/WT``."""
    keys = {}
    for name, metric in METRICS.items():
        for region in (*regions, MEAN):
            keys[f"{name}/{region}"] = (metric, region)
    return keys


def list_shown(regions: tuple[str, ...]) -> list[str]:
    """Return the keys of the scores that the main table shows."""
    shown: list[str] = []
    for name, metric in METRICS.items():
        if metric.columns == "regions":
            shown += [f"{name}/{region}" for region in regions]
        if metric.columns:
            shown.append(f"{name}/{MEAN}")
    return shown
