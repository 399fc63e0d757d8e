"""The node that a job runs on: its GPUs, its clock, and whether its disk keeps locks."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from bench.specs.protocol import SpecError
from datasets.locks import try_lock
from reports.records.text import count

VISIBLE = "CUDA_VISIBLE_DEVICES"
GIVEN = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS")  # numbers of the GPUs of a job
MOST_SKEW_S = 60.0  # of two clocks, above which it is said


def show_given_gpus(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what to set so that CUDA sees exactly the GPUs that Slurm gave the job.

    Set it before torch is imported.
    """
    if VISIBLE in environment:  # Slurm has done it
        return {}
    given = next((environment[name] for name in GIVEN if environment.get(name)), "")
    return {VISIBLE: given}


def choose_device(asked: str, n_gpus: int, *, wants_gpu: bool, n_devices: int = 1) -> str:
    """Return the device of a job's one run, or the first of several.

    Args:
        asked: ``--device``.
        n_gpus: that torch sees in the job.
        wants_gpu: the options for Slurm ask for one.
        n_devices: of the run.

    Raises: SpecError if there is none, or if there are more or fewer than the run uses.
    """
    if n_gpus > n_devices or 0 < n_gpus < n_devices:
        rule = f"a run uses {count(n_devices, 'GPU')}"
        raise SpecError(f"--slurm: {rule}, got {n_gpus} in its job (gpus_per_node={n_devices})")
    if n_gpus == n_devices and asked != "cpu":
        return "cuda:0"
    if wants_gpu and asked != "cpu":
        rule = "torch must see the GPU that Slurm gave the job, got none"
        raise SpecError(f"--slurm: {rule} (is torch built for CUDA, is the driver loaded?)")
    if asked not in ("auto", "cpu"):
        hint = "add gpus_per_node=1 to --slurm"
        raise SpecError(f"--device: '{asked}' needs a GPU, but Slurm gave the job none ({hint})")
    return "cpu"


def measure_clock_offset_s(folder: Path) -> float:
    """Return by how much this machine's clock is ahead of that of the disk with the folder."""
    probe = folder / f".{os.uname().nodename}-{os.getpid()}.clock"
    try:
        before = time.time()
        probe.touch()
        by_disk = probe.stat().st_mtime
        after = time.time()
    finally:
        probe.unlink(missing_ok=True)
    if before <= by_disk <= after:
        return 0.0
    return (before + after) / 2 - by_disk


def describe_skew(node: str, offset_s: float | None) -> str:
    """Return a sentence on a clock that is wrong, or nothing."""
    if offset_s is None or abs(offset_s) <= MOST_SKEW_S:
        return ""
    side = "ahead of" if offset_s > 0 else "behind"
    return f"{node}: its clock is {abs(offset_s):.0f} s {side} that of the disk with --out"


def sees_lock(file: Path) -> bool:
    """Return whether a lock that another machine holds is seen here."""
    lock = try_lock(file)
    if lock is None:
        return True
    lock.release()
    return False
