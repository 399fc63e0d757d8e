"""The grid, one child process a run: what is done is recognised, what fails is recorded, what is killed is repeated.

Children come from a fork server that has imported the heavy libraries once, so that a run starts in well under a
second. A child that dies takes nothing with it; a parent that dies takes its children along.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import methods
from bench.groups import RUNS
from bench.provenance import describe_run
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


def choose_slots(device: str, jobs: int | None) -> Slots:
    """Return where the runs go: ``auto`` takes the GPUs that torch sees, else Apple's, else the CPU.

    Raises: SpecError if the device asked for is not there.
    """
    import torch

    n_gpus = torch.cuda.device_count()
    kind = device.partition(":")[0]
    present = {"cuda": n_gpus > 0, "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        kind = device = next(name for name, there in present.items() if there)
    if not present.get(kind, False) or (device != kind and device not in [f"cuda:{i}" for i in range(n_gpus)]):
        raise SpecError(f"--device: '{device}' is not on this machine (auto, cpu, or one that torch sees)")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = jobs or (n_gpus if device == "cuda" else min(cores, 4) if device == "cpu" else 1)
    devices = [f"cuda:{slot % n_gpus}" for slot in range(jobs)] if device == "cuda" else [device] * jobs
    return Slots(tuple(devices), threads=max(1, cores // jobs))


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
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.trial"])
    waiting = list(reversed(specs))
    free = list(reversed(slots.devices))
    active: dict[Connection, _Child] = {}
    try:
        while waiting or active:
            while waiting and free:
                child = _start(context, waiting.pop(), out, free.pop(), slots)
                active[child.messages] = child
                on_event(Event(child.spec, "start"))
            for connection in wait(list(active)):
                assert isinstance(connection, Connection)
                child = active[connection]
                try:
                    on_event(Event(child.spec, *connection.recv()))
                except EOFError:  # the child has closed its end: it is over, one way or the other
                    del active[connection]
                    free.append(child.place.device)
                    on_event(Event(child.spec, "end", result=_collect(child)))
    finally:
        for child in active.values():
            child.process.terminate()
            child.process.join()


@dataclass(frozen=True)
class _Child:
    spec: RunSpec
    place: Place
    process: BaseProcess
    messages: Connection


def _start(
    context: multiprocessing.context.ForkServerContext, spec: RunSpec, out: Path, device: str, slots: Slots
) -> _Child:
    folder = run_folder(out, spec)
    shutil.rmtree(folder, ignore_errors=True)
    place = Place(folder, out / "cache", device, slots.threads, slots.checkpointing, slots.slices_per_chunk)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child_main, args=(spec, place, sender), name=spec.run_id)
    process.start()
    sender.close()  # now only the child holds the sending end, and its death closes it
    return _Child(spec, place, process, receiver)


def _child_main(spec: RunSpec, place: Place, messages: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from bench.trial import run_trial  # heavy: the fork server has it already, and the parent never needs it

    run_trial(spec, place, lambda phase, done, total: messages.send((phase, done, total)))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _collect(child: _Child) -> RunResult:
    """Return what the ended child left behind, or the record of its death, which is then written in its place."""
    child.process.join()
    child.messages.close()
    result = read_result(child.place.folder)
    if result is not None:
        return result
    code = child.process.exitcode
    cause = f"was killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended with exit code {code}"
    hint = " (out of memory?)" if code == -signal.SIGKILL else ""
    method = methods.build(child.spec.method.name, dict(child.spec.method.settings))
    result = RunResult(
        status=Status.FAILED, reason=f"the run's process {cause}{hint}", **describe_run(child.spec, method)
    )
    result.write(child.place.folder)
    return result
