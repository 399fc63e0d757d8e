"""Tuning for a whole grid: a study for each method and data set, side by side, and the final runs that follow."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from math import nan
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from filelock import FileLock

import methods
from bench.grid.children import Child, start_child
from bench.grid.slots import Slots
from bench.run.cases import open_data
from bench.specs.run import MethodSpec, Place, RunSpec
from bench.tuning.pictures import draw_study
from bench.tuning.space import Value, build_space, split_values
from bench.tuning.study import FIT_S, STATUS, StudySpec, open_storage, open_study, storage_errors
from bench.tuning.worker import Evaluate, Outcome, Report, tune
from reports.records.run import Status
from reports.records.study import TUNING, StudyRecord, TrialRecord

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

LOCK = "lock"  # file in a study's folder, held while a trial is handed out


@dataclass(frozen=True)
class StudyPlan:
    """A study and the run that it varies: the method with its defaults, on the fold that is tuned on."""

    spec: StudySpec
    run: RunSpec
    folder: Path

    def trial_run(self, values: Mapping[str, Value]) -> RunSpec:
        """Return the run of a trial, with as many epochs as the budget gives it."""
        run, epochs = vary(self.run, values), self.spec.tune.epochs
        return replace(run, chosen=(*run.chosen, ("train.epochs", str(epochs)))) if epochs else run


@dataclass(frozen=True)
class TrialEvent:
    """A trial began (``outcome`` is None), was validated (``validations`` times so far), or ended."""

    plan: StudyPlan
    number: int
    values: dict[str, Value]
    validations: int = 0
    outcome: Outcome | None = None


def plan_studies(
    specs: Sequence[RunSpec],
    out: Path,
    searches: Sequence[str] = (),
    prefix: str = "",
    only: Sequence[str] = (),
) -> list[StudyPlan]:
    """Return the studies that the final runs ``specs`` need, in their order.

    Raises: SpecError for a dimension that cannot be searched.
    """
    plans: dict[str, StudyPlan] = {}
    first_fold = {spec.dataset: spec.fold for spec in reversed(specs)}
    first_seed = {spec.dataset: spec.seed for spec in reversed(specs)}
    for spec in specs:
        fold = spec.fold if spec.protocol.tune.per_fold else first_fold[spec.dataset]
        run = replace(spec, fold=fold, seed=first_seed[spec.dataset])
        backbone, shots = run.protocol.model.backbone, run.protocol.data.shots
        name = name_study(str(run.method), run.dataset, backbone, fold, shots, prefix)
        if name not in plans:
            method = run.method.build()
            space = build_space(method, run.protocol, searches, only)
            study = StudySpec(name, space, run.protocol.tune, describe_protocol(run))
            plans[name] = StudyPlan(study, run, out / TUNING / name)
    return list(plans.values())


def describe_protocol(run: RunSpec) -> dict[str, Any]:
    """Return, as plain data, what trials are run under; the size of the budget may grow while a study lasts."""
    record: dict[str, Any] = json.loads(json.dumps(run.protocol_record()))
    record["tune"] = {
        key: value for key, value in record["tune"].items() if key not in ("trials", "budget_s")
    }
    return record


def vary(run: RunSpec, values: Mapping[str, Value]) -> RunSpec:
    """Return the run with a trial's values in place of its defaults."""
    own, shared = split_values(values)
    method = methods.build(run.method.name, dict(run.method.settings) | own)
    chosen = tuple((key, str(value)) for key, value in sorted(shared.items()))
    return replace(
        run, method=MethodSpec(run.method.name, methods.changed_settings(method)), chosen=chosen
    )


def begin_studies(plans: Sequence[StudyPlan], storage: str, out: Path) -> BaseStorage:
    """Return the storage with every study in it; one that has changed is answered before anything is computed.

    Under a lock: two workers that begin at the same time would both make the database's tables.
    Raises: SpecError if the storage cannot be used or a study has changed.
    """
    (out / TUNING).mkdir(parents=True, exist_ok=True)
    with FileLock(out / TUNING / LOCK), storage_errors(storage):
        opened = open_storage(storage)
        for plan in plans:
            open_study(opened, plan.spec)
    return opened


def run_studies(
    plans: Sequence[StudyPlan],
    storage: str,
    out: Path,
    slots: Slots,
    on_event: Callable[[TrialEvent], None],
) -> list[StudyRecord]:
    """Work on all studies until each has spent its budget; return their records, which lie in their folders too.

    A study is worked on by one slot, so that its trials follow from each other; ``on_event`` is
    called by several threads, one at a time. On KeyboardInterrupt open trials are left for the next
    worker.
    Raises: SpecError if the storage cannot be used or a study has changed.
    """
    opened = begin_studies(plans, storage, out)
    devices: SimpleQueue[str] = SimpleQueue()
    for device in slots.devices:
        devices.put(device)
    crew = _Crew(out, slots)
    lock = threading.Lock()

    def say(event: TrialEvent) -> None:
        with lock:
            on_event(event)

    def work(plan: StudyPlan) -> StudyRecord:
        device = devices.get()
        try:
            evaluate = crew.evaluator(plan, device, say)
            with storage_errors(storage):
                study = open_study(open_storage(storage), plan.spec)
                on_trial = partial(_say_ended, plan, say)
                tune(study, plan.spec, evaluate, plan.folder / LOCK, on_trial, crew.stopped)
                record = build_record(plan, study)
            record.write(plan.folder)
            return record
        finally:
            devices.put(device)

    with ThreadPoolExecutor(len(slots.devices)) as pool:
        futures = [pool.submit(work, plan) for plan in plans]
        try:
            wait(futures)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            crew.stop()
            raise
        records = [future.result() for future in futures]
    for plan in plans:  # here, because pyplot wants a single thread
        with FileLock(plan.folder / LOCK):
            draw_study(open_study(opened, plan.spec), plan.folder)
    return records


def build_record(plan: StudyPlan, study: Study) -> StudyRecord:
    """Return what the study has come to so far."""
    run = plan.run
    trials = []
    for trial in study.get_trials(deepcopy=False):
        told = trial.user_attrs
        status = told.get(STATUS, "running")
        dice = trial.values[0] if trial.values and status == Status.DONE else None
        trials.append(
            TrialRecord(
                trial.number,
                status,
                dict(trial.params),
                dice,
                told.get("params_tuned", 0),
                told.get(FIT_S, 0.0),
                told.get("reason", ""),
            )
        )
    return StudyRecord(
        name=plan.spec.name,
        method=str(run.method),
        dataset=run.dataset,
        backbone=run.protocol.model.backbone,
        weights=run.weights_label,
        fold=run.fold,
        shots=run.protocol.data.shots,
        synthetic=open_data(run).synthetic,
        protocol_id=run.protocol_id,
        tune=run.protocol_record()["tune"],
        protocol=dict(plan.spec.protocol),
        trials=tuple(trials),
    )


class _Crew:
    """The child processes of all studies, so that an interrupt reaches every one."""

    def __init__(self, out: Path, slots: Slots) -> None:
        self.out, self.slots = out, slots
        self.active: set[Child] = set()
        self.stopped = threading.Event()

    def stop(self) -> None:
        """End all children; whoever waits for one is interrupted."""
        self.stopped.set()
        for child in list(self.active):
            child.stop()

    def evaluator(
        self, plan: StudyPlan, device: str, say: Callable[[TrialEvent], None]
    ) -> Evaluate:
        """Return what carries out a trial of the study in a child process on the device."""
        slots = self.slots

        def evaluate(number: int, values: dict[str, Value], report: Report) -> Outcome:
            folder = plan.folder / f"trial-{number:04d}"
            place = Place(folder, self.out / "cache", device, slots.threads, slots.execution)
            say(TrialEvent(plan, number, values))
            run = plan.trial_run(values)
            child = start_child(
                "bench.tuning.trial:carry_out_trial", run, place, name=f"trial {number}"
            )
            self.active.add(child)
            if self.stopped.is_set():  # meanwhile
                child.stop()
            try:
                return self._follow(
                    child, report, lambda done: say(TrialEvent(plan, number, values, done))
                )
            finally:
                self.active.discard(child)
                child.messages.close()

        return evaluate

    def _follow(
        self, child: Child, report: Report, on_validation: Callable[[int], None]
    ) -> Outcome:
        started, dices = time.perf_counter(), ()
        try:
            while True:
                kind, *content = child.messages.recv()
                if kind == "end":
                    return Outcome(*content)
                number, dices, params_tuned, fit_s = content
                on_validation(number + 1)
                if report(number, dices):
                    child.stop()
                    return Outcome(
                        Status.DONE, sum(dices) / len(dices), params_tuned, fit_s, pruned=True
                    )
        except EOFError:
            end = child.describe_end()
            if self.stopped.is_set():
                raise KeyboardInterrupt from None
            return Outcome(
                Status.FAILED, nan, 0, time.perf_counter() - started, f"the trial's process {end}"
            )


def _say_ended(
    plan: StudyPlan,
    say: Callable[[TrialEvent], None],
    number: int,
    values: dict[str, Value],
    outcome: Outcome,
) -> None:
    say(TrialEvent(plan, number, values, outcome=outcome))


def name_study(
    method: str, dataset: str, backbone: str, fold: int, shots: int = 0, prefix: str = ""
) -> str:
    """Return a study's name, which is that of its folder, too."""
    name = f"{prefix}{dataset}-{method}-{backbone}-f{fold}" + (f"-shots{shots}" if shots else "")
    return re.sub(r"[^\w.]+", "-", name)
