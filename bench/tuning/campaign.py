"""Tuning for a whole grid: its studies side by side, each trial in a child process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from bench.grid.children import CHECKPOINT_S, LONGEST_WAIT_S, Child, start_child, start_server
from bench.grid.slots import Slots
from bench.run.cases import open_data
from bench.run.interruption import end_if_asked
from bench.run.provenance import describe_release
from bench.run.watch.log_file import LOG_FILE
from bench.run.watch.progress import Stand
from bench.specs.addresses import find_sqlite_file
from bench.specs.run import Place
from bench.tuning.pictures import draw_study
from bench.tuning.plan import LOCK, STORAGE, StudyPlan, TrialEvent, describe_protocol
from bench.tuning.space import describe_space
from bench.tuning.study import open_storage, open_study, read_trials, storage_errors
from bench.tuning.worker import Report, tune
from datasets.locks import hold_lock
from datasets.processes import stop_processes
from reports.records.run import Status
from reports.records.study import PRUNED, TUNING, StudyRecord, TrialRecord

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage


def begin_studies(plans: Sequence[StudyPlan], storage: str, out: Path) -> BaseStorage:
    """Return the storage with every study in it.

    Under a lock beside the database, which several ``out`` may share: two workers that begin at the
    same time would both make its tables.
    Raises: SpecError if the storage cannot be used or a study has changed.
    """
    database = find_sqlite_file(storage) or out / TUNING / STORAGE
    with hold_lock(database.with_name(f".{database.name}.lock")), storage_errors(storage):
        opened = open_storage(storage)
        for plan in plans:
            open_study(opened, plan)
    return opened


def run_studies(
    plans: Sequence[StudyPlan],
    storage: str,
    out: Path,
    slots: Slots,
    on_event: Callable[[TrialEvent], None],
) -> list[StudyRecord]:
    """Work on all studies until each has spent its budget; return their records, also on disk.

    One slot works on a study, so that its trials follow from each other. On KeyboardInterrupt open
    trials are left for the next worker. ``on_event`` is called by several threads, one at a time.
    Raises: SpecError if the storage cannot be used or a study has changed.
    """
    opened = begin_studies(plans, storage, out)
    start_server()
    crew = Crew(storage, out, slots, on_event)
    for device in slots.devices:
        crew.devices.put(device)
    with ThreadPoolExecutor(len(slots.devices)) as pool:
        futures = [pool.submit(crew.work_on, plan) for plan in plans]
        try:
            end_if_asked()
            wait(futures)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            crew.stop()
            raise
        records = [future.result() for future in futures]
    draw_studies(plans, opened)
    return records


def draw_studies(plans: Sequence[StudyPlan], opened: BaseStorage) -> None:
    """Draw the pictures of studies, from the main thread, because pyplot wants a single one."""
    for plan in plans:
        with hold_lock(plan.folder / LOCK):
            draw_study(open_study(opened, plan), plan.folder)


def record_studies(plans: Sequence[StudyPlan], opened: BaseStorage) -> list[StudyRecord]:
    """Write the records of studies on which others have worked, and return them."""
    records = []
    for plan in plans:
        records.append(build_record(plan, open_study(opened, plan)))
        with hold_lock(plan.folder / LOCK):
            records[-1].write(plan.folder)
    draw_studies(plans, opened)
    return records


def build_record(plan: StudyPlan, study: Study) -> StudyRecord:
    """Return the record of a study with its trials so far."""
    release = describe_release(plan.run.dataset)
    return StudyRecord(
        name=plan.name,
        **asdict(plan.run.cell),
        synthetic=open_data(plan.run).synthetic,
        protocol_id=plan.run.protocol_id,
        tune=asdict(plan.tune),
        protocol=describe_protocol(plan.run),
        trials=read_trials(study),
        space=describe_space(plan.space),
        dataset_title=release.title if release else "",
    )


@dataclass(frozen=True)
class Crew:
    """The threads that work on studies, with their child processes."""

    storage: str
    out: Path
    slots: Slots
    on_event: Callable[[TrialEvent], None]
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)
    active: set[Child] = field(default_factory=set)
    devices: SimpleQueue[str] = field(default_factory=SimpleQueue)  # that are free

    def stop(self) -> None:
        """End all children; the threads that wait for one are interrupted."""
        self.stopped.set()
        stop_processes([child.process for child in list(self.active)], CHECKPOINT_S)

    def work_on(self, plan: StudyPlan) -> StudyRecord:
        device = self.devices.get()
        try:
            with storage_errors(self.storage):
                study = open_study(open_storage(self.storage), plan)
                evaluate = partial(self._evaluate, plan, device)
                tune(study, plan, evaluate, partial(self._report, plan), self.stopped)
                record = build_record(plan, study)
            with hold_lock(plan.folder / LOCK):
                record.write(plan.folder)
            return record
        finally:
            self.devices.put(device)

    def work_for_others(self, plan: StudyPlan, device: str) -> None:
        """Work on a study until no trial is left for this worker; another writes the record."""
        with storage_errors(self.storage):
            study = open_study(open_storage(self.storage), plan)
            evaluate = partial(self._evaluate, plan, device)
            tune(study, plan, evaluate, stopped=self.stopped, stays=False)

    def _report(
        self, plan: StudyPlan, trial: TrialRecord, validations: int = 0, stand: Stand | None = None
    ) -> None:
        with self.lock:
            self.on_event(TrialEvent(plan, trial, validations, stand))

    def _evaluate(
        self, plan: StudyPlan, device: str, trial: TrialRecord, report: Report
    ) -> TrialRecord:
        """Carry out a trial in a child process on the device; return it ended."""
        folder, cache = plan.trial_folder(trial.number), self.out / "cache"
        place = Place(folder, cache, device, self.slots.means_on(device))
        self._report(plan, trial)
        run = plan.trial_run(trial.values)
        function = "bench.tuning.trial:carry_out_trial"
        ended = None
        while ended is None:
            child = start_child(function, run, place, name=folder.name, log_file=folder / LOG_FILE)
            self.active.add(child)
            if self.stopped.is_set():  # since the trial was claimed
                child.kill()
            try:
                ended = self._follow(plan, child, trial, report)
            except (KeyboardInterrupt, SystemExit):
                child.interrupt()
                raise
            finally:
                self.active.discard(child)
                child.messages.close()
        return ended

    def _follow(
        self, plan: StudyPlan, child: Child, trial: TrialRecord, report: Report
    ) -> TrialRecord | None:
        """Pass on what a child sends until its trial ends, is pruned, or the child dies.

        Returns None if the child alone was asked to end: the trial is to go on.
        """
        started = time.perf_counter()
        timeout_s = self.slots.timeout_s
        validations = 0
        try:
            while _is_heard(child, started + timeout_s):
                dices, known = child.messages.recv()
                if isinstance(known, Stand):
                    self._report(plan, trial, validations, known)
                    continue
                current = replace(trial, **known)
                if dices is None:
                    return current
                validations += 1
                self._report(plan, trial, validations)
                if report(validations - 1, dices):
                    child.kill()
                    return replace(current, status=PRUNED, dice=sum(dices) / len(dices))
            child.kill()
            reason = f"the trial has not ended within {timeout_s:g} s (--timeout)"
            return replace(
                trial, status=Status.TIMEOUT, params_tuned=0, fit_s=timeout_s, reason=reason
            )
        except EOFError:
            reason = f"the trial's process {child.describe_end()}"
            if self.stopped.is_set():
                raise KeyboardInterrupt from None
            if child.is_interrupted:
                return None
        lived_s = time.perf_counter() - started
        return replace(trial, status=Status.FAILED, params_tuned=0, fit_s=lived_s, reason=reason)


def _is_heard(child: Child, deadline: float) -> bool:
    """Wait for a message, or the end, of a child; return False if the deadline comes first."""
    while (left_s := deadline - time.perf_counter()) > 0:
        if child.messages.poll(min(left_s, LONGEST_WAIT_S)):
            return True
    return False
