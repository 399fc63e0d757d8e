"""The grid, one process a run: finished runs are kept, failures recorded, killed runs repeated.

Several commands may share a folder: each run has a lock, and a command takes the runs whose lock it
gets. It waits for the others, and takes over their results.
"""

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from multiprocessing import active_children
from multiprocessing.connection import Connection, wait
from pathlib import Path

from bench.grid.attempt import ATTEMPT, begin_attempt, end_attempt, record_death
from bench.grid.children import CHECKPOINT_S, LONGEST_WAIT_S, Child, start_child
from bench.grid.executors.ledger import LOCK
from bench.grid.slots import Slots
from bench.run.interruption import end_if_asked
from bench.run.provenance import describe_run
from bench.run.watch.log_file import LOG_FILE
from bench.run.watch.progress import Stand
from bench.specs.run import Place, RunSpec, run_folder
from datasets.files import describe_os_error
from datasets.locks import Lock, try_lock
from datasets.processes import list_started, stop_processes
from reports.records.run import RESULT_FILE, RunResult, Status, read_result

# repeating these would give the same again
FINISHED = (Status.DONE, Status.DIVERGED, Status.OOM, Status.SKIPPED)
EXECUTE = "bench.run.execute:execute_run"
EXECUTE_TOGETHER = "bench.grid.executors.ranks:execute_together"  # on several devices
POLL_S = 1.0  # how often to look whether another command has ended a run

log = logging.getLogger(__name__)
Stamp = tuple[int, int] | None


@dataclass(frozen=True)
class Event:
    """A run began, went on, waits for another command, or (with ``result``) ended."""

    spec: RunSpec
    phase: str  # "start", one of `bench.cost.phases`, "wait" or "end"
    stand: Stand | None = None  # how far it is
    result: RunResult | None = None


@dataclass(frozen=True)
class _Run:
    spec: RunSpec
    place: Place
    child: Child
    lock: Lock
    deadline: float  # of `time.monotonic`


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
        folder = run_folder(out, spec)
        lock = try_lock(folder / LOCK) if (folder / ATTEMPT).is_dir() else None
        if lock is not None:
            end_attempt(folder)
            lock.release()


def run_grid(
    specs: Sequence[RunSpec],
    out: Path,
    slots: Slots,
    on_event: Callable[[Event], None],
    *,
    force: bool = False,
    function: str = EXECUTE,
) -> None:
    """Carry out the runs, each in a process of its own. Results so far are on disk at any moment.

    A result that another command writes meanwhile is taken in the place of an own one. A
    KeyboardInterrupt ends the children and is raised again.

    Args:
        slots: a run that takes longer than their timeout is ended.
        on_event: called in this process; a run's last event brings its result.
        force: repeat runs that were finished before.
        function: carries out a run, as `start_child` takes it.
    """
    grid = _Grid(out, slots, on_event, function, force=force)
    grid.add(specs)
    try:
        grid.start_runs()
        while grid.waiting or grid.active:
            end_if_asked()
            grid.follow_runs()
            grid.start_runs()
    finally:
        grid.stop()


class _Grid:
    """The runs that wait, and those that go on in this command."""

    def __init__(
        self,
        out: Path,
        slots: Slots,
        on_event: Callable[[Event], None],
        function: str,
        *,
        force: bool,
    ) -> None:
        self.out = out
        self.slots = slots
        self.free = list(reversed(slots.devices))
        self.on_event = on_event
        self.function = function
        self.force = force
        self.others = active_children()  # that were started before
        self.waiting: list[RunSpec] = []
        self.found: dict[str, Stamp] = {}  # of the results that were there before
        self.told: set[str] = set()  # runs of other commands that a "wait" was sent for
        self.active: dict[Connection, _Run] = {}

    def add(self, specs: Sequence[RunSpec]) -> None:
        for spec in specs:
            self.waiting.append(spec)
            self.found[spec.run_id] = _stamp_result(run_folder(self.out, spec))

    def start_runs(self) -> None:
        """Start runs that no other command works on, as long as devices are free."""
        if not self.free:
            return
        left: list[RunSpec] = []
        for spec in self.waiting:
            if not self.free or not self._try(spec):
                left.append(spec)
        self.waiting = left

    def _try(self, spec: RunSpec) -> bool:
        """Start a run, or end it at once; return whether its lock could be had."""
        folder = run_folder(self.out, spec)
        lock = None
        try:
            lock = try_lock(folder / LOCK)
            if lock is None:
                return False
            result = self._find_other(spec)
            if result is None:
                self._start(spec, lock)
                return True
        except OSError as error:  # a disk that is full, or not to be written to
            result = _record_failure(spec, error)
        if lock is not None:
            lock.release()
        self.on_event(Event(spec, "start"))
        self.on_event(Event(spec, "end", result=result))
        return True

    def _find_other(self, spec: RunSpec) -> RunResult | None:
        """Return the result that another command has written since this one began."""
        folder = run_folder(self.out, spec)
        end_attempt(folder)  # of a command that was killed meanwhile
        is_new = _stamp_result(folder) != self.found[spec.run_id]
        result = _read_whole(folder) if is_new or not self.force else None
        if result is not None and (is_new or result.status in FINISHED):
            return result
        return None

    def _start(self, spec: RunSpec, lock: Lock) -> None:
        attempt = begin_attempt(run_folder(self.out, spec))
        cache, device = self.out / "cache", self.free[-1]
        place = Place(attempt, cache, device, self.slots.means_on(device))
        function = self.function if place.means.n_devices == 1 else EXECUTE_TOGETHER
        log_file = attempt.parent / LOG_FILE
        child = start_child(function, spec, place, name=spec.run_id, lock=lock, log_file=log_file)
        self.on_event(Event(spec, "start"))
        self.free.pop()
        deadline = time.monotonic() + self.slots.timeout_s
        self.active[child.messages] = _Run(spec, place, child, lock, deadline)

    def follow_runs(self) -> None:
        """Pass on what the children send until one has ended, or others may be started."""
        if self.free:
            for spec in self.waiting:
                if spec.run_id not in self.told:
                    self.told.add(spec.run_id)
                    self.on_event(Event(spec, "wait"))
        for connection in wait(list(self.active), self._choose_patience()):
            assert isinstance(connection, Connection)
            run = self.active[connection]
            try:
                self.on_event(Event(run.spec, *connection.recv()))
            except EOFError:
                if run.child.is_interrupted:
                    self._put_back(run)
                    continue
                self._end(run, Status.FAILED, f"the run's process {run.child.describe_end()}")
        for run in list(self.active.values()):
            if time.monotonic() > run.deadline:
                run.child.kill()
                reason = f"the run has not ended within {self.slots.timeout_s:g} s (--timeout)"
                self._end(run, Status.TIMEOUT, reason)

    def _choose_patience(self) -> float:
        """Return for how long to wait for messages, in seconds."""
        longest = POLL_S if self.free and self.waiting else LONGEST_WAIT_S
        first = min((run.deadline for run in self.active.values()), default=inf)
        return max(0.0, min(longest, first - time.monotonic()))

    def _release(self, run: _Run) -> None:
        del self.active[run.child.messages]
        run.child.messages.close()
        self.free.append(run.place.device)

    def _put_back(self, run: _Run) -> None:
        """Let a run go on later whose process alone was asked to end."""
        self._release(run)
        run.lock.release()
        self.waiting.insert(0, run.spec)

    def _end(self, run: _Run, status: Status, reason: str) -> None:
        self._release(run)
        result = _collect(run, status, reason, self.found[run.spec.run_id])
        run.lock.release()
        self.on_event(Event(run.spec, "end", result=result))

    def stop(self) -> None:
        """End the runs that go on; the next command goes on from their checkpoints."""
        try:
            stop_processes(list_started(self.others), CHECKPOINT_S)
        finally:
            for run in self.active.values():
                run.lock.release()


def _stamp_result(folder: Path) -> Stamp:
    """Return what tells a result from an earlier one in the same place; None: there is none."""
    try:
        found = (folder / RESULT_FILE).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _collect(run: _Run, status: Status, reason: str, found: Stamp) -> RunResult:
    """Return the result of an ended child, or the record of its death; it becomes the run's.

    Where there are no locks another command may have done the run meanwhile; that result stays.
    """
    attempt = run.place.folder
    try:
        result = _read_whole(attempt)
        if result is None:
            result = record_death(run.spec, attempt, status, reason)
            result.write(attempt)
        is_new = _stamp_result(attempt.parent) not in (None, found)
        other = _read_whole(attempt.parent) if is_new else None
        if other is not None and other.status is Status.DONE and result.status is not Status.DONE:
            shutil.rmtree(attempt)
            return other
        end_attempt(attempt.parent)
    except OSError as error:  # the others go on; what has no record is repeated by the next command
        return _record_failure(run.spec, error)
    return result


def _read_whole(folder: Path) -> RunResult | None:
    try:
        return read_result(folder)
    except ValueError as error:
        log.warning("%s; the run counts as failed", error)
        return None


def _record_failure(spec: RunSpec, error: OSError) -> RunResult:
    return replace(describe_run(spec), reason=describe_os_error(error))
