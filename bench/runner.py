"""The grid, one child process a run: what is done is recognised, what fails is recorded, what is killed is repeated."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import methods
from bench.children import Child, start_child
from bench.groups import RUNS
from bench.provenance import describe_run
from bench.request import ComputeRequest
from bench.results import RunResult, Status, read_result
from bench.spec import Place, RunSpec, SpecError

FINISHED = (Status.DONE, Status.DIVERGED, Status.OOM, Status.SKIPPED)  # repeating these would give the same again


@dataclass(frozen=True)
class Event:
    """Something a run says: that it began, how far it is, or (with ``result``) that it ended."""

    spec: RunSpec
    phase: str  # "start", "fit", "score" or "end"
    done: int = 0
    total: int = 0
    result: RunResult | None = None


@dataclass(frozen=True)
class Slots:
    """How many runs go on at once, on which devices, with how many threads each, and how they save memory."""

    devices: tuple[str, ...]  # one entry a slot
    threads: int
    checkpointing: bool = False
    slices_per_chunk: int = 0


def choose_slots(compute: ComputeRequest) -> Slots:
    """Return where the runs go: ``auto`` takes the GPUs that torch sees, else Apple's, else the CPU.

    Raises: SpecError if the device asked for is not there.
    """
    import torch

    device = compute.device
    n_gpus = torch.cuda.device_count()
    kind = device.partition(":")[0]
    present = {"cuda": n_gpus > 0, "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        kind = device = next(name for name, there in present.items() if there)
    if not present.get(kind, False) or (device != kind and device not in [f"cuda:{i}" for i in range(n_gpus)]):
        raise SpecError(f"--device: '{device}' is not on this machine (auto, cpu, or one that torch sees)")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = compute.jobs or (n_gpus if device == "cuda" else min(cores, 4) if device == "cpu" else 1)
    devices = [f"cuda:{slot % n_gpus}" for slot in range(jobs)] if device == "cuda" else [device] * jobs
    return Slots(tuple(devices), max(1, cores // jobs), compute.checkpointing, compute.slices_per_chunk)


def split_finished(specs: Sequence[RunSpec], out: Path) -> tuple[list[tuple[RunSpec, RunResult]], list[RunSpec]]:
    """Return the runs that have ended, with their results, and the runs that are still to do."""
    finished: list[tuple[RunSpec, RunResult]] = []
    to_do: list[RunSpec] = []
    for spec in specs:
        result = read_result(run_folder(out, spec))
        if result is not None and result.status in FINISHED:
            finished.append((spec, result))
        else:
            to_do.append(spec)
    return finished, to_do


def run_folder(out: Path, spec: RunSpec) -> Path:
    """Return the folder of a run."""
    return out / RUNS / spec.run_id


def run_grid(specs: Sequence[RunSpec], out: Path, slots: Slots, on_event: Callable[[Event], None]) -> None:
    """Carry out the runs, each in a process of its own.

    ``on_event`` is called in this process; a run's last event brings its result. On KeyboardInterrupt the children are
    ended and the interrupt goes on upwards; what was finished is on disk.
    """
    waiting = list(reversed(specs))
    free = list(reversed(slots.devices))
    active: dict[Connection, _Run] = {}
    try:
        while waiting or active:
            while waiting and free:
                run = _start(waiting.pop(), out, free.pop(), slots)
                active[run.child.messages] = run
                on_event(Event(run.spec, "start"))
            for connection in wait(list(active)):
                assert isinstance(connection, Connection)
                run = active[connection]
                try:
                    on_event(Event(run.spec, *connection.recv()))
                except EOFError:
                    del active[connection]
                    free.append(run.place.device)
                    on_event(Event(run.spec, "end", result=_collect(run)))
    finally:
        for run in active.values():
            run.child.stop()


@dataclass(frozen=True)
class _Run:
    spec: RunSpec
    place: Place
    child: Child


def _start(spec: RunSpec, out: Path, device: str, slots: Slots) -> _Run:
    folder = run_folder(out, spec)
    shutil.rmtree(folder, ignore_errors=True)
    place = Place(folder, out / "cache", device, slots.threads, slots.checkpointing, slots.slices_per_chunk)
    return _Run(spec, place, start_child("bench.runner:run_in_child", spec, place, name=spec.run_id))


def run_in_child(spec: RunSpec, place: Place, send: Callable[[tuple[str, int, int]], None]) -> None:
    """Carry out a run in this process; what it says goes to ``send``."""
    from bench.trial import run_trial  # heavy: the fork server has it already, and the parent never needs it

    run_trial(spec, place, lambda phase, done, total: send((phase, done, total)))


def _collect(run: _Run) -> RunResult:
    """Return what the ended child left behind, or the record of its death, which is then written in its place."""
    end = run.child.describe_end()
    run.child.messages.close()
    result = read_result(run.place.folder)
    if result is not None:
        return result
    method = methods.build(run.spec.method.name, dict(run.spec.method.settings))
    reason = f"the run's process {end}"
    result = RunResult(status=Status.FAILED, reason=reason, **describe_run(run.spec, method))
    result.write(run.place.folder)
    return result
