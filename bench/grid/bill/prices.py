"""What a run will take: by runs of the same kind that are done, else by its probe."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cost.measure import limit_repeats
from bench.cost.phases import FIT, MEASURE, SCORE, VALIDATE, Units, mean_pace, pace_of, predict_s
from bench.grid.bill.probes import count_bytes
from bench.specs.run import RunSpec
from reports.records.cost import Cost
from reports.records.run import RunResult, Status
from reports.records.slices import SLICES_FILE

SPREAD_OF_PROBE = 0.2  # relative half of an interval; what the benchmark of the plan aims at
SPREAD_OF_RUN = 0.1  # where a single run is known
LEAST_SPREAD = 0.05


@dataclass(frozen=True)
class Price:
    """What a run will take.

    Attributes:
        seconds: from its start to its result.
        spread: relative half of the interval of ``seconds``.
        memory_mib: largest, of the device; on a CPU of the process.
        results_mib: what it leaves on disk.
        checkpoint_mib: what it needs beside while it goes on.
        source: "runs" or "probe".
        pace: seconds of a unit of each phase.
    """

    seconds: float
    spread: float
    memory_mib: float
    results_mib: float
    checkpoint_mib: float
    source: str
    pace: dict[str, float]


def price_run(spec: RunSpec, units: Units, probe: RunResult, folder: Path) -> Price | None:
    """Return what a run will take by its probe in a folder; None if that has no result."""
    cost = probe.cost
    if probe.status is not Status.DONE or cost is None or cost.memory is None:
        return None
    return Price(
        probe_seconds(spec, units, probe),
        SPREAD_OF_PROBE,
        cost.peak_memory_mib,
        _scale_results(folder, units[SCORE]),
        estimate_checkpoint_mib(cost),
        "probe",
        _pace_of_probe(cost),
    )


def probe_seconds(spec: RunSpec, units: Units, probe: RunResult) -> float:
    """Return the seconds of a run by the phases of its probe."""
    cost = probe.cost
    assert cost is not None
    times = {each.phase: each for each in cost.phases}
    pace = _pace_of_probe(cost)
    first_s = max(0.0, times[SCORE].first_s - pace[SCORE])  # the first case has a picture
    pace[MEASURE] = 0.0
    taken_s = predict_s(units, pace)
    assert taken_s is not None  # a probe knows every phase
    wall_s = float(probe.provenance.get("wall_s", 0.0))
    extra_s = max(0.0, wall_s - sum(each.seconds for each in cost.phases))
    run_s = taken_s + first_s + extra_s
    return run_s + _measuring_s(spec, cost, times[MEASURE].seconds, run_s)


def _pace_of_probe(cost: Cost) -> dict[str, float]:
    """Return the pace of a run; the first batch and the only validation of a probe are slow.

    The steps that were measured by themselves count beside those of the training.
    """
    assert cost.train_step is not None
    assert cost.inference is not None
    step = cost.train_step
    fit = next(each for each in cost.phases if each.phase == FIT)
    steps_s = fit.seconds - fit.first_s + step.n * step.median_s
    pace = pace_of(cost.phases)
    pace[FIT] = steps_s / (fit.units - 1 + step.n)
    # an inner validation may be cheaper than the segmentation that is timed
    pace[VALIDATE] = min(pace[VALIDATE], cost.inference.median_s)
    return pace


def _measuring_s(spec: RunSpec, cost: Cost, probe_s: float, run_s: float) -> float:
    """Return the seconds of measuring in a run, whose steps and whose budget are larger."""
    assert cost.train_step is not None
    assert cost.inference is not None
    timed = [cost.train_step, cost.inference]
    if cost.merged is not None:
        timed.append(cost.merged.inference)
    budget_s = limit_repeats(run_s).budget_s
    took_s = probe_s
    for each in timed:
        took_s += max(0.0, budget_s - each.n * each.median_s / each.scale)
    n_batches = spec.own_protocol.train.accumulate
    return took_s + (n_batches - 1) * cost.train_step.median_s


def price_by_runs(units: Units, done: Sequence[tuple[RunResult, Units]]) -> Price | None:
    """Return what a run will take by runs of its kind, each with its units; None: too little."""
    seconds, known = [], []
    for result, own_units in done:
        cost = result.cost
        if cost is None or not cost.phases or cost.memory is None:
            continue
        wall_s = float(result.provenance.get("wall_s", 0.0))
        own_s = predict_s(own_units, pace_of(cost.phases))
        whole_s = predict_s(units, pace_of(cost.phases))
        if not own_s or whole_s is None:
            continue
        seconds.append(whole_s + max(0.0, wall_s - own_s))
        known.append(cost)
    if not known:
        return None
    mean_s = statistics.fmean(seconds)
    spread = SPREAD_OF_RUN
    if len(seconds) > 1:
        spread = max(LEAST_SPREAD, 2 * statistics.stdev(seconds) / mean_s)
    delta_mib = max(cost.delta_mib or 0.0 for cost in known)
    return Price(
        mean_s,
        spread,
        max(cost.peak_memory_mib for cost in known),
        delta_mib,
        max(map(estimate_checkpoint_mib, known)),
        "runs",
        mean_pace([pace_of(cost.phases) for cost in known]),
    )


def estimate_checkpoint_mib(cost: Cost) -> float:
    """Return the size of a run's checkpoints: what trains, the best so far, the optimiser's state.

    There are two of them, the last one and the one before.
    """
    optimizer_mib = cost.memory.optimizer_mib if cost.memory is not None else 0.0
    return 2 * (2 * (cost.delta_mib or 0.0) + optimizer_mib)


def _scale_results(folder: Path, n_scored: int) -> float:
    """Return the MiB of a run's folder by that of its probe, which has slices of one case."""
    slices = folder / SLICES_FILE
    slices_mib = slices.stat().st_size / 2**20 if slices.is_file() else 0.0
    rest_mib = count_bytes(folder) / 2**20 - slices_mib
    return rest_mib + slices_mib * n_scored
