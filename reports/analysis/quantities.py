"""The numbers that tables show of a method: scores by region, and costs."""

from collections.abc import Callable
from dataclasses import dataclass

from reports.analysis.tidy import MEAN
from reports.records.cost import Cost, read_cost
from reports.records.metrics import METRICS, Metric


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
        value = read_cost(cost, self.field)
        return None if value is None else self.convert(value)


def _to_millions(count: float) -> float:
    return count / 1e6


def _to_percent(fraction: float) -> float:
    return 100 * fraction


def _to_milliseconds(seconds: float) -> float:
    return 1e3 * seconds


TRAINED = "Tuned + decoder"
COSTS = {
    "tuned_m": CostQuantity("Tuned", "M", 3, "params_tuned", _to_millions),
    "tuned_pct": CostQuantity("Tuned", "%", 2, "params_tuned_frac", _to_percent),
    "trained_m": CostQuantity(TRAINED, "M", 3, "params_trained", _to_millions),
    "trained_pct": CostQuantity(TRAINED, "%", 2, "params_trained_frac", _to_percent),
    "total_m": CostQuantity("Total", "M", 3, "params_total", _to_millions),
    "total_pct": CostQuantity("Total", "%", 2, "params_total_frac", _to_percent),
    "forward_gflop": CostQuantity("GFLOP", "forward", 1, "compute.forward_gflop"),
    "training_gflop": CostQuantity("GFLOP", "training", 1, "compute.training_gflop"),
    "volume_gflop": CostQuantity("GFLOP", "volume", 0, "compute.volume_gflop"),
    "peak_mib": CostQuantity("Memory (MiB)", "peak", 0, "peak_memory_mib", timed=True),
    "saved_mib": CostQuantity("Memory (MiB)", "activations", 0, "memory.saved_for_backward_mib"),
    "step_ms": CostQuantity("Time", "step (ms)", 1, "train_step.median_s", _to_milliseconds, True),
    "inference_s": CostQuantity("Time", "volume (s)", 2, "inference.median_s", timed=True),
    "merged_s": CostQuantity("Time", "merged (s)", 2, "merged.inference.median_s", timed=True),
    "fit_s": CostQuantity("Time", "fit (s)", 1, "fit_s", timed=True),
    "delta_mib": CostQuantity("Delta", "MiB", 2, "delta_mib"),
    "energy_kj": CostQuantity("Energy", "kJ", 1, "energy_j", lambda joule: joule / 1000, True),
}
SPENT = "Time (%)"
UTILISATION = {
    "step_pct": CostQuantity(SPENT, "steps", 1, "shares.step", _to_percent, True),
    "wait_pct": CostQuantity(SPENT, "waiting", 1, "shares.wait", _to_percent, True),
    "validate_pct": CostQuantity(SPENT, "validating", 1, "shares.validate", _to_percent, True),
    "score_pct": CostQuantity(SPENT, "scoring", 1, "shares.score", _to_percent, True),
    "measure_pct": CostQuantity(SPENT, "measuring", 1, "shares.measure", _to_percent, True),
    "start_pct": CostQuantity(SPENT, "starting", 1, "shares.start", _to_percent, True),
    "compile_pct": CostQuantity(SPENT, "compiling", 1, "compile_frac", _to_percent, True),
    "write_pct": CostQuantity(SPENT, "writing", 1, "shares.write", _to_percent, True),
    "gpu_busy_pct": CostQuantity("GPU busy", "in fit (%)", 1, "gpu_busy_frac", _to_percent, True),
}
QUANTITIES = COSTS | UTILISATION
PARAMETERS = ("tuned_m", "tuned_pct", "trained_m", "trained_pct", "total_m", "total_pct")


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
