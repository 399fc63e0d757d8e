"""An Optuna study that holds exactly its budget of trials, with any number of workers and kills.

A trial is handed out under a file lock: first one whose worker has died, as the trial it was, then
a new one while the budget lasts. Samplers are seeded from the study's seed and the trial's number,
so that an interrupted study goes on with the values that it would have had.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.specs.addresses import find_sqlite_file
from bench.specs.protocol import SpecError
from bench.tuning.plan import StudyPlan
from bench.tuning.samplers import build_pruner, build_sampler, has_two_objectives
from bench.tuning.served import GRPC, find_rpc_error, open_proxy
from bench.tuning.space import defaults
from datasets.files import make_folder
from reports.records.plain import flatten
from reports.records.run import Status
from reports.records.study import ENDED_WELL, FAILURES, RUNNING, TrialRecord
from reports.records.text import mask_passwords

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

RECORD = "record"  # attribute of a study: what must not change
OWNER = "owner"  # attributes of a trial: the process that works on it,
BEAT = "beat"  # when that was last alive,
ENDING = ("status", "params_tuned", "fit_s", "reason")  # and how the trial ended
GIVEN_UP_AFTER = 5  # failures one after another of a command's trials
GIVEN_UP_AFTER_DIVERGED = 10  # other values may do better than those that diverged
SQLITE_WAIT_S = 60.0  # for other workers to finish writing
BEAT_S = 20.0  # between two signs of life of a worker
STALE_S = 300.0  # a worker of another machine that was silent for so long is taken for dead


def open_storage(uri: str) -> BaseStorage:
    """Return an Optuna storage: a database URL, ``grpc://HOST:PORT``, or ``journal:FILE``.

    Raises: SpecError if it cannot be opened.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    scheme, _, file = uri.partition(":")
    try:
        with storage_errors(uri):
            if scheme == "grpc":
                return open_proxy(uri)
            if scheme == "journal":
                Path(file).parent.mkdir(parents=True, exist_ok=True)
                return optuna.storages.JournalStorage(JournalFileBackend(file))
            if scheme.startswith("sqlite"):
                if database := find_sqlite_file(uri):
                    make_folder(database.parent)
                waits = {"connect_args": {"timeout": SQLITE_WAIT_S}}
                return optuna.storages.RDBStorage(_quote_braces(uri), engine_kwargs=waits)
            return optuna.storages.RDBStorage(_quote_braces(uri))
    except (OSError, ImportError) as error:  # no such folder, no driver for such a database
        raise _storage_error(uri, error) from error


@contextmanager
def storage_errors(uri: str) -> Iterator[None]:
    """Turn what a storage raises, while it is opened or used, into one sentence about it."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    errors: tuple[type[Exception], ...] = (StorageInternalError, SQLAlchemyError)
    if uri.startswith(GRPC):
        errors = (*errors, find_rpc_error())
    try:
        yield
    except errors as error:
        raise _storage_error(uri, error.__cause__ or error) from error


def _storage_error(uri: str, error: BaseException) -> SpecError:
    cause = " ".join(str(error).split())[:200]
    rule = "must be open to reading and writing"
    return SpecError(mask_passwords(f"--storage {uri}: {rule}, got {cause}"))


def _quote_braces(uri: str) -> str:
    """Return an address as Optuna takes it, which is a template."""
    return uri.replace("{", "{{").replace("}", "}}")


def open_study(storage: BaseStorage, plan: StudyPlan) -> Study:
    """Return the study of a plan; a missing one is made.

    Raises: SpecError naming the first difference if there is one with another space or protocol.
    """
    import optuna

    study = optuna.create_study(
        storage=storage,
        study_name=plan.name,
        directions=["maximize", "minimize"] if has_two_objectives(plan.tune) else ["maximize"],
        load_if_exists=True,
        pruner=build_pruner(plan.tune),
    )
    wanted = json.loads(json.dumps(plan.record()))
    found = study.user_attrs.get(RECORD)
    if found is None:
        study.set_user_attr(RECORD, wanted)
    elif found != wanted:
        difference = name_difference(found, wanted)
        raise SpecError(f"study {plan.name}: {difference} since it was begun (--study NEW_NAME)")
    return study


def name_difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Return in words the first setting in which two nested records differ; they must."""
    old, new = flatten(found), flatten(wanted)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            return f"{key} has changed from {old.get(key)} to {new.get(key)}"
    raise AssertionError("records differ")


def claim(study: Study, plan: StudyPlan, before: Container[int] = ()) -> Trial | None:
    """Return the next trial with its values suggested.

    None if the budget is spent, the study given up, or others hold the rest. Must be called under
    the study's lock.

    Args:
        before: numbers of the trials that had ended when this command began; their failures do not
            count, so that the same command tries again once the cause is removed.
    """
    import optuna
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    if not trials:
        study.enqueue_trial(defaults(plan.space))
    orphan = next(filter(_is_orphan, trials), None)
    if orphan is not None:
        number = orphan.number
    elif not trials or trials[0].state == TrialState.WAITING:
        number = 0
    elif _is_spent(trials, plan) or _is_hopeless(trials, before):
        return None
    else:
        number = len(trials)
    study.sampler = build_sampler(plan.tune, number)
    trial = study.ask() if orphan is None else optuna.trial.Trial(study, orphan._trial_id)
    own = [socket.gethostname(), os.getpid(), psutil.Process().create_time()]
    trial.set_user_attr(OWNER, own)
    trial.set_user_attr(BEAT, time.time())
    for dimension in plan.space:
        # Each has a seed of its own: a worker may have died between two of them.
        study.sampler = build_sampler(plan.tune, number, dimension.key)
        dimension.suggest(trial)
    return trial


@contextmanager
def released_early(trial: Trial) -> Iterator[None]:
    """Leave a trial to other workers if this one is interrupted in it."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        with suppress(Exception):  # the storage may be what has ended
            trial.set_user_attr(OWNER, None)
        raise


def is_done(study: Study, plan: StudyPlan, before: Container[int] = ()) -> bool:
    """Return whether the budget is spent, or the study given up, and every trial has ended."""
    trials = study.get_trials(deepcopy=False)
    over = _is_spent(trials, plan) or _is_hopeless(trials, before)
    return over and all(trial.state.is_finished() for trial in trials)


def list_ended(study: Study) -> frozenset[int]:
    """Return the numbers of the trials that have ended."""
    trials = study.get_trials(deepcopy=False)
    return frozenset(trial.number for trial in trials if trial.state.is_finished())


def read_trials(study: Study) -> tuple[TrialRecord, ...]:
    """Return the records of the trials that were handed out so far."""
    return tuple(_read_trial(trial) for trial in study.get_trials(deepcopy=False))


def _read_trial(trial: FrozenTrial) -> TrialRecord:
    ending: dict[str, Any] = {"status": RUNNING}
    ending |= {name: trial.user_attrs[name] for name in ENDING if name in trial.user_attrs}
    done = ending["status"] == Status.DONE and trial.values
    dice = trial.values[0] if done else None
    return TrialRecord(trial.number, values=dict(trial.params), dice=dice, **ending)


def _is_spent(trials: Sequence[FrozenTrial], plan: StudyPlan) -> bool:
    """Whether no new trial is due: the budget is spent, or nothing is hosted or searched."""
    if trials and _status_of(trials[0]) == Status.SKIPPED:  # the backbone cannot host the method
        return True
    if not plan.space:  # the default is all that there is to try
        return bool(trials)
    tune = plan.tune
    if tune.budget_s:
        return sum(float(trial.user_attrs.get("fit_s", 0.0)) for trial in trials) >= tune.budget_s
    return len(trials) >= tune.trials


def _is_hopeless(trials: Sequence[FrozenTrial], before: Container[int]) -> bool:
    """Whether nothing succeeds any more: the last trials of this command have all failed.

    Once a trial of the study has ended well, only exceptions and killed processes count: too little
    memory and divergence may be due to a trial's values.
    """
    statuses = list(map(_status_of, trials))
    counting = {Status.FAILED} if ENDED_WELL.intersection(statuses) else FAILURES
    tail: list[str] = []
    for trial in reversed(trials):
        if trial.number in before or _status_of(trial) not in counting:
            break
        tail.append(_status_of(trial))
    diverged = Status.DIVERGED in tail
    return len(tail) >= (GIVEN_UP_AFTER_DIVERGED if diverged else GIVEN_UP_AFTER)


def _status_of(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get("status", RUNNING))


def _is_orphan(trial: FrozenTrial) -> bool:
    """Whether a trial was begun by a worker that has died."""
    from optuna.trial import TrialState

    if trial.state != TrialState.RUNNING:
        return False
    owner = trial.user_attrs.get(OWNER)
    if owner is None:  # its worker died before it had signed; the lock rules out that it signs now
        return True
    host, pid, born = owner
    if host != socket.gethostname():
        return time.time() - float(trial.user_attrs.get(BEAT, 0.0)) > STALE_S
    try:  # another process may have its number
        owner_process = psutil.Process(pid)
        is_ended = owner_process.status() == psutil.STATUS_ZOMBIE
        return is_ended or bool(abs(owner_process.create_time() - born) > 1)
    except psutil.NoSuchProcess:
        return True
