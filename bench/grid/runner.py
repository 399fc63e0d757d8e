"""The grid, one child process a run: what is done is recognised, what fails is recorded, what is killed is repeated."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from bench.grid.attempt import begin_attempt, end_attempt
from bench.grid.children import Child, start_child
from bench.run.firewall import count_reads, read_selection
from bench.run.provenance import describe_run
from bench.specs.folders import run_folder
from bench.specs.protocol import SpecError
from bench.specs.run import Place, RunSpec
from methods.execution import PLAIN, Execution
from reports.records.run import RunResult, Status, read_result

FINISHED = (
    Status.DONE,
    Status.DIVERGED,
    Status.OOM,
    Status.SKIPPED,
)  # repeating these would give the same again


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
    execution: Execution = PLAIN


def choose_slots(device: str, jobs: int | None = None, execution: Execution = PLAIN) -> Slots:
    """Return where the runs go: ``auto`` takes the GPUs that torch sees, else Apple's, else the CPU.

    Raises: SpecError if the device asked for is not there.
    """
    import torch

    n_gpus = torch.cuda.device_count()
    kind = device.partition(":")[0]
    present = {"cuda": n_gpus > 0, "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        kind = device = next(name for name, there in present.items() if there)
    if not present.get(kind, False) or (
        device != kind and device not in [f"cuda:{i}" for i in range(n_gpus)]
    ):
        raise SpecError(
            f"--device: '{device}' is not on this machine (auto, cpu, or one that torch sees)"
        )
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    jobs = jobs or (n_gpus if device == "cuda" else min(cores, 4) if device == "cpu" else 1)
    devices = (
        [f"cuda:{slot % n_gpus}" for slot in range(jobs)] if device == "cuda" else [device] * jobs
    )
    return Slots(tuple(devices), max(1, cores // jobs), execution)


def split_finished(
    specs: Sequence[RunSpec], out: Path
) -> tuple[list[tuple[RunSpec, RunResult]], list[RunSpec]]:
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


def adopt_ended(specs: Sequence[RunSpec], out: Path) -> None:
    """Let attempts count whose end nobody was there to see, because the parent was killed at that moment."""
    for spec in specs:
        end_attempt(run_folder(out, spec))


def run_grid(
    specs: Sequence[RunSpec], out: Path, slots: Slots, on_event: Callable[[Event], None]
) -> None:
    """Carry out the runs, each in a process of its own.

    ``on_event`` is called in this process; a run's last event brings its result. On
    KeyboardInterrupt the children are ended and the interrupt goes on upwards; what was finished is
    on disk.
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
    attempt = begin_attempt(run_folder(out, spec))
    place = Place(attempt, out / "cache", device, slots.threads, slots.execution)
    return _Run(
        spec, place, start_child("bench.grid.runner:run_in_child", spec, place, name=spec.run_id)
    )


def run_in_child(spec: RunSpec, place: Place, send: Callable[[tuple[str, int, int]], None]) -> None:
    """Carry out a run in this process; what it says goes to ``send``."""
    # heavy: the fork server has it already, and the parent never needs it
    from bench.run.execute import execute_run

    execute_run(spec, place, lambda phase, done, total: send((phase, done, total)))


def _collect(run: _Run) -> RunResult:
    """Return what the ended child left behind, or the record of its death; it is the run's result from here on."""
    end = run.child.describe_end()
    run.child.messages.close()
    attempt = run.place.folder
    result = read_result(attempt)
    if result is None:
        result = _record_death(run.spec, attempt, end)
        result.write(attempt)
    end_attempt(attempt.parent)
    return result


def _record_death(spec: RunSpec, attempt: Path, end: str) -> RunResult:
    selection = read_selection(attempt)
    return replace(
        describe_run(spec),
        reason=f"the run's process {end}",
        chosen_sha256=selection.chosen_sha256 if selection else "",
        test_reads=count_reads(attempt),
    )
