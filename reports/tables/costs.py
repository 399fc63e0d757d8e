"""What the columns of costs are, in sentences computed from the runs that measured them."""

from collections.abc import Iterator, Sequence
from itertools import chain

from reports.records.run import RunResult
from reports.tables.wording import FIT

STEP = "Step: an optimiser step on one batch."
VOLUME = "Volume (time): prediction of an inner validation volume, windows and flips included"
BY_PART = "; a forward pass was timed, and multiplied by the number of windows"
MERGED = "Merged: the same with the method folded into the backbone's weights."
ACTIVATIONS = "Activations: what autograd keeps between the passes of a training step."
DELTA = "Delta: the file of what was trained."
ENERGY = "Energy: of the device's board, over the training."


def describe_costs(results: Sequence[RunResult], shown: set[str]) -> list[str]:
    """Return the sentences for the columns that are shown, by their keys in `COSTS`."""
    measured = [run for run in results if run.cost is not None]
    explained = {
        "forward_gflop": _describe_patch(measured),
        "volume_gflop": _describe_volume(measured),
        "peak_mib": _describe_peak(measured),
        "saved_mib": [ACTIVATIONS],
        "step_ms": [_describe_machines(measured), STEP],
        "inference_s": [_describe_time(measured)],
        "merged_s": [MERGED],
        "fit_s": [FIT],
        "delta_mib": [DELTA],
        "energy_kj": [ENERGY],
    }
    return list(chain.from_iterable(explained[key] for key in explained if key in shown))


def _describe_patch(results: Sequence[RunResult]) -> list[str]:
    patches = set()
    for run in results:
        patch = run.protocol.get("data", {}).get("patch")
        patches.add("x".join(map(str, patch)) if patch else "a size that is not recorded")
    sizes = ", ".join(sorted(patches))
    what = "forward: an inference, training: forward and backward"
    return [f"GFLOP: two per multiply-accumulate; of one patch ({sizes} voxels), {what}."]


def _describe_volume(results: Sequence[RunResult]) -> Iterator[str]:
    passes = []
    factors = set()
    for run in results:
        assert run.cost is not None
        if run.cost.compute is None or run.cost.compute.passes_per_volume is None:
            continue
        passes.append(run.cost.compute.passes_per_volume)
        spec = run.protocol.get("eval", {})
        flips = "8 mirrored volumes" if spec.get("flips") else "no flips"
        factors.add(f"windows with an overlap of {spec.get('overlap', 'unknown size')}, {flips}")
    if passes:
        mean = sum(passes) / len(passes)
        how = "; ".join(sorted(factors))
        yield f"Volume (GFLOP): a held-out volume, {mean:.1f} forward passes on average ({how})."


def _describe_time(results: Sequence[RunResult]) -> str:
    timings = [run.cost.inference for run in results if run.cost is not None]
    by_part = any(each is not None and each.scale != 1 for each in timings)
    return f"{VOLUME}{BY_PART if by_part else ''}."


def _describe_peak(results: Sequence[RunResult]) -> Iterator[str]:
    kinds = {_kind_of(run) for run in results}
    owners = []
    if "cpu" in kinds:
        owners.append("of the process")
    if kinds - {"cpu"}:
        owners.append("of the device's allocator")
    both = " (on a CPU), " if len(owners) > 1 else ""
    yield f"Peak memory: {both.join(owners)}."


def _kind_of(run: RunResult) -> str:
    return str(run.provenance.get("device", "unknown")).partition(":")[0]


def _describe_machines(results: Sequence[RunResult]) -> str:
    """Return on which machines times were taken."""
    found = []
    for run in results:
        device = str(run.provenance.get("device", "an unknown device"))
        if run.n_devices > 1:
            device = f"{run.n_devices} x {device.partition(':')[0]}"
        way = "torch.compile" if run.is_compiled else ""
        facts = filter(None, (run.provenance.get("device_name"), _count_threads(run), way))
        details = ", ".join(map(str, facts))
        found.append(f"{device} ({details})" if details else device)
    return f"Times on {', '.join(sorted(set(found)))}."


def _count_threads(run: RunResult) -> str:
    count = run.provenance.get("threads")
    if count is None:
        return ""
    return f"{count} thread{'s' if count != 1 else ''}"
