"""A run on several devices: a process each, and this one, which watches them.

The first rank carries out the run and writes; the others are ended with it. If one of them dies or
fails, all are ended, and the run's result tells why.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from multiprocessing.connection import Connection, wait

from bench.grid.attempt import record_death
from bench.grid.children import CHECKPOINT_S, LONGEST_WAIT_S, Child, start_child
from bench.run.interruption import Interrupted, build_interrupt
from bench.run.ranks.group import open_store
from bench.run.setup import Ending
from bench.run.watch.log_file import LOG_FILE
from bench.run.watch.progress import Stand, forget_progress
from bench.specs.run import Place, RunSpec, Team, list_devices
from datasets.processes import stop_processes
from reports.records.run import RESULT_FILE, RunResult, Status, read_result

LEAD, HELP = "bench.run.ranks.work:lead", "bench.run.ranks.work:help_out"
GRACE_S = 10.0  # for the first rank to end by itself when another one has failed
STOP_S = CHECKPOINT_S - 3  # to end before this process is killed


@dataclass(frozen=True)
class _Rank:
    name: str  # in sentences
    child: Child


def execute_together(spec: RunSpec, place: Place, send: Callable[[str, Stand], None]) -> None:
    """Carry out a run on all devices of its place, as `bench.run.execute.execute_run` does on one.

    Raises: Interrupted at a signal, after a checkpoint.
    """
    store = open_store(place.means.n_devices)
    ranks: list[_Rank] = []
    try:
        for number, device in enumerate(list_devices(place.device, place.means.n_devices)):
            team = Team(number, place.means.n_devices, store.port)
            ranks.append(_start(spec, replace(place, device=device, team=team)))
        fault = _follow(ranks, place, send)
    except Interrupted:
        stop_processes([rank.child.process for rank in ranks[:1]], STOP_S)
        raise
    finally:
        for rank in ranks:
            rank.child.kill()
    if ranks[0].child.is_interrupted:
        raise build_interrupt()
    _settle(spec, place, fault)


def _start(spec: RunSpec, place: Place) -> _Rank:
    assert place.team is not None
    number = place.team.rank
    child = start_child(
        HELP if number else LEAD,
        spec,
        place,
        name=f"{spec.run_id}-{number}",
        log_file=place.folder.parent / LOG_FILE,
    )
    return _Rank(f"process {number + 1} of {place.team.size} on {place.device}", child)


def _follow(ranks: list[_Rank], place: Place, send: Callable[[str, Stand], None]) -> Ending | None:
    """Pass on what the first rank sends, until it has ended; return what has gone wrong, if known.

    When another one has failed, the first is waited for a while: it may hang.
    """
    first = ranks[0]
    by_connection = {rank.child.messages: rank for rank in ranks}
    fault = None
    deadline = inf
    while first.child.messages in by_connection and time.monotonic() < deadline:
        left_s = max(0.0, min(LONGEST_WAIT_S, deadline - time.monotonic()))
        for connection in wait(list(by_connection), left_s):
            assert isinstance(connection, Connection)
            rank = by_connection[connection]
            try:
                message = connection.recv()
            except EOFError:
                del by_connection[connection]
                fault = _find_death(rank) or fault
                continue
            if rank is first:
                send(*message)
            elif not (place.folder / RESULT_FILE).is_file():  # else the first has failed before
                fault = fault or _name_rank(rank, *message)
        if fault is not None:
            deadline = min(deadline, time.monotonic() + GRACE_S)
    return fault


def _find_death(rank: _Rank) -> Ending | None:
    """Return how a process was killed; None if it has ended by itself."""
    process = rank.child.process
    process.join()
    if process.exitcode is None or process.exitcode >= 0:
        return None
    return Ending(Status.FAILED, f"{rank.name} {rank.child.describe_end()}")


def _name_rank(rank: _Rank, ending: Ending) -> Ending:
    return replace(ending, reason=f"{rank.name}: {ending.reason}")


def _settle(spec: RunSpec, place: Place, fault: Ending | None) -> None:
    """Write the result where the first rank has left none, or does not know what went wrong."""
    result = read_result(place.folder)
    if result is None:
        reason = "the first process of the run has left no result"
        ending = fault or Ending(Status.FAILED, reason)
        result = record_death(spec, place.folder, ending.status, ending.reason)
        forget_progress(place.folder)
    elif result.status is not Status.FAILED or fault is None or _is_told(result, fault):
        return
    if fault is not None:
        result = replace(result, **vars(fault))
    result.write(place.folder)


def _is_told(result: RunResult, fault: Ending) -> bool:
    """Whether the first rank has failed for the same reason."""
    return bool(result.reason) and fault.reason.endswith(result.reason)
