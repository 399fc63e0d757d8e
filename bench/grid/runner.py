"""The grid, one process a run: finished runs are kept, failures recorded, killed runs repeated."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from bench.grid.attempt import begin_attempt, end_attempt
from bench.grid.children import Child, start_child
from bench.grid.slots import Slots
from bench.run.firewall import count_reads, read_selection
from bench.run.provenance import describe_run
from bench.specs.run import Place, RunSpec, run_folder
from datasets.files import FileError, describe_os_error
from reports.records.run import RunResult, Status, read_result

# repeating these would give the same again
FINISHED = (Status.DONE, Status.DIVERGED, Status.OOM, Status.SKIPPED)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """A run began, went on, or (with ``result``) ended."""

    spec: RunSpec
    phase: str  # "start", "fit", "score" or "end"
    done: int = 0
    total: int = 0
    result: RunResult | None = None


@dataclass(frozen=True)
class _Run:
    spec: RunSpec
    place: Place
    child: Child


def split_finished(
    specs: Sequence[RunSpec], out: Path
) -> tuple[list[tuple[RunSpec, RunResult]], list[RunSpec]]:
    """Return the finished runs with their results, and the runs that are still to do."""
    finished, to_do = [], []
    for spec in specs:
        result = read_result(run_folder(out, spec))
        if result is not None and result.status in FINISHED:
            finished.append((spec, result))
        else:
            to_do.append(spec)
    return finished, to_do


def promote_finished_attempts(specs: Sequence[RunSpec], out: Path) -> None:
    """Promote attempts that finished after the parent process was killed."""
    for spec in specs:
        end_attempt(run_folder(out, spec))


def run_grid(
    specs: Sequence[RunSpec], out: Path, slots: Slots, on_event: Callable[[Event], None]
) -> None:
    """Carry out the runs, each in a process of its own.

    ``on_event`` is called in this process; a run's last event brings its result. A
    KeyboardInterrupt ends the children and is raised again; results so far are on disk.
    """
    waiting = list(reversed(specs))
    free = list(reversed(slots.devices))
    active: dict[Connection, _Run] = {}
    try:
        while waiting or active:
            while waiting and free:
                spec = waiting.pop()
                on_event(Event(spec, "start"))
                try:
                    run = _start(spec, out, free[-1], slots)
                except OSError as error:  # a disk that is full, or not to be written to
                    on_event(Event(spec, "end", result=_record_failure(spec, error)))
                    continue
                free.pop()
                active[run.child.messages] = run
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


def _start(spec: RunSpec, out: Path, device: str, slots: Slots) -> _Run:
    attempt = begin_attempt(run_folder(out, spec))
    place = Place(attempt, out / "cache", device, slots.execution)
    child = start_child("bench.run.execute:execute_run", spec, place, name=spec.run_id)
    return _Run(spec, place, child)


def _collect(run: _Run) -> RunResult:
    """Return the result of an ended child, or the record of its death; it becomes the run's."""
    end = run.child.describe_end()
    run.child.messages.close()
    attempt = run.place.folder
    try:
        result = _read_attempt(attempt)
        if result is None:
            result = _record_death(run.spec, attempt, end)
            result.write(attempt)
        end_attempt(attempt.parent)
    except OSError as error:  # the others go on; what has no record is repeated by the next command
        return _record_failure(run.spec, error)
    return result


def _read_attempt(attempt: Path) -> RunResult | None:
    try:
        return read_result(attempt)
    except ValueError as error:
        log.warning("%s; the run counts as failed", error)
        return None


def _record_failure(spec: RunSpec, error: OSError) -> RunResult:
    return replace(describe_run(spec), reason=describe_os_error(error))


def _record_death(spec: RunSpec, attempt: Path, end: str) -> RunResult:
    record = replace(describe_run(spec), reason=f"the run's process {end}")
    try:
        selection = read_selection(attempt)
    except FileError:  # the process has died, and its files with it
        selection = None
    chosen = selection.chosen_sha256 if selection else ""
    return replace(record, chosen_sha256=chosen, test_reads=count_reads(attempt))
