"""An Optuna study that holds exactly its budget of trials, whoever works on it and however often it is cut off.

A trial is handed out under a file lock: first one whose worker has died, under its own number and
with its own values, then a new one while the budget lasts. Samplers are seeded from the study's
seed and the trial's number, so that a study that was interrupted goes on with the values that it
would have had.
"""

from __future__ import annotations

import json
import os
import socket
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.specs.protocol import SpecError, TuneSpec
from bench.specs.run import derive_seed
from bench.tuning.space import Space, defaults, describe_space
from reports.records.plain import flatten
from reports.records.run import Status

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

OWNER, BEAT, STATUS, FIT_S, RECORD = (
    "owner",
    "beat",
    "status",
    "fit_s",
    "record",
)  # attributes of trials and studies
GIVEN_UP_AFTER = 5  # failures, if nothing else has come of the study
SQLITE_WAIT_S = 60.0  # for other workers to finish writing
BEAT_S = 20.0  # a worker says this often that it lives
STALE_S = 300.0  # a worker of another machine that was silent for so long is taken for dead


@dataclass(frozen=True)
class StudySpec:
    """What a study searches, for which method, under which protocol."""

    name: str
    space: Space
    tune: TuneSpec
    protocol: Mapping[str, Any]  # the record that the trials run under

    def record(self) -> dict[str, Any]:
        """Return what must not change while the study lasts, as plain data."""
        return {"space": describe_space(self.space), "protocol": dict(self.protocol)}


def open_storage(uri: str) -> BaseStorage:
    """Return an Optuna storage: a database URL, ``journal:FILE`` for a disk that several machines share.

    Raises: SpecError if it cannot be opened.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with storage_errors(uri):
            for prefix in ("journal:", "sqlite:///"):
                if uri.startswith(prefix):
                    Path(uri.removeprefix(prefix)).parent.mkdir(parents=True, exist_ok=True)
            if uri.startswith("journal:"):
                return optuna.storages.JournalStorage(
                    JournalFileBackend(uri.removeprefix("journal:"))
                )
            waits = {"connect_args": {"timeout": SQLITE_WAIT_S}} if uri.startswith("sqlite") else {}
            return optuna.storages.RDBStorage(uri, engine_kwargs=waits)
    except (OSError, ImportError) as error:  # no such folder, no driver for such a database
        raise SpecError(
            f"--storage {uri}: must be open to reading and writing, got {error}"
        ) from error


def open_study(storage: BaseStorage, spec: StudySpec) -> Study:
    """Return the study of that name, made if need be.

    Raises: SpecError naming the first difference if there is one with another space or protocol.
    """
    import optuna

    maximize, minimize = optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE
    directions = [maximize, minimize] if "," in spec.tune.objectives else [maximize]
    study = optuna.create_study(
        storage=storage,
        study_name=spec.name,
        directions=directions,
        load_if_exists=True,
        pruner=build_pruner(spec.tune),
    )
    wanted = json.loads(json.dumps(spec.record()))
    found = study.user_attrs.get(RECORD)
    if found is None:
        study.set_user_attr(RECORD, wanted)
    elif found != wanted:
        raise SpecError(
            f"study {spec.name}: {name_difference(found, wanted)} since it was begun (--study NEW_NAME)"
        )
    return study


def claim(study: Study, spec: StudySpec) -> Trial | None:
    """Return the next trial with its values suggested, or None if the budget is spent or others hold the rest.

    Must be called under the study's lock.
    """
    import optuna
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    if not trials:
        study.enqueue_trial(defaults(spec.space))
        trials = study.get_trials(deepcopy=False)
    waiting = trials[0].state == TrialState.WAITING
    orphan = next(
        (each for each in trials if each.state == TrialState.RUNNING and _is_orphan(each)), None
    )
    if orphan is None and not waiting and _is_spent(trials, spec.tune):
        return None
    number = orphan.number if orphan is not None else 0 if waiting else len(trials)
    study.sampler = build_sampler(spec.tune, derive_seed("sampler", spec.tune.seed, number))
    trial = study.ask() if orphan is None else optuna.trial.Trial(study, orphan._trial_id)
    trial.set_user_attr(OWNER, _own_name())
    trial.set_user_attr(BEAT, time.time())
    for (
        dimension
    ) in spec.space:  # each with a seed of its own: a worker may have died between two of them
        study.sampler = build_sampler(
            spec.tune, derive_seed("sampler", spec.tune.seed, number, dimension.key)
        )
        dimension.suggest(trial)
    return trial


def is_done(study: Study, tune: TuneSpec) -> bool:
    """Return whether the budget is spent, or the study given up, and every trial has ended."""
    trials = study.get_trials(deepcopy=False)
    return _is_spent(trials, tune) and all(trial.state.is_finished() for trial in trials)


def build_sampler(tune: TuneSpec, seed: int) -> BaseSampler:
    """Return the sampler of a trial; NSGA-II where there are two objectives, as TPE is for one."""
    from optuna import samplers
    from optuna.exceptions import ExperimentalWarning

    if "," in tune.objectives and tune.sampler == "tpe":
        return samplers.NSGAIISampler(seed=seed, population_size=max(4, tune.trials // 4))
    n_startup = min(10, max(3, tune.trials // 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        match tune.sampler:
            case "gp":
                return samplers.GPSampler(seed=seed, n_startup_trials=n_startup)
            case "random":
                return samplers.RandomSampler(seed=seed)
            case "cmaes":
                return samplers.CmaEsSampler(
                    seed=seed, n_startup_trials=n_startup, warn_independent_sampling=False
                )
            case "qmc":  # a sequence: its numbering is in the study, its scrambling must not change
                return samplers.QMCSampler(
                    seed=tune.seed,
                    scramble=True,
                    warn_independent_sampling=False,
                    warn_asynchronous_seeding=False,
                )
            case _:
                return samplers.TPESampler(seed=seed, n_startup_trials=n_startup)


def build_pruner(tune: TuneSpec) -> BasePruner:
    """Return the pruner; Optuna can prune for one objective only."""
    from optuna import pruners
    from optuna.exceptions import ExperimentalWarning

    if "," in tune.objectives or tune.pruner == "none":
        return pruners.NopPruner()
    if tune.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=min(5, max(2, tune.trials // 4)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=4)


@contextmanager
def storage_errors(uri: str) -> Iterator[None]:
    """Turn what a storage raises, while it is opened or used, into one sentence about it."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause = " ".join(str(error.__cause__ or error).split())[:200]
        raise SpecError(
            f"--storage {uri}: must be open to reading and writing, got {cause}"
        ) from error


def name_difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Return in words the first setting in which two nested records differ; they must."""
    old, new = flatten(found), flatten(wanted)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            return f"{key} has changed from {old.get(key)} to {new.get(key)}"
    raise AssertionError("records differ")


def _is_spent(trials: list[FrozenTrial], tune: TuneSpec) -> bool:
    if _is_hopeless(trials):
        return True
    if tune.budget_s:
        return sum(float(trial.user_attrs.get(FIT_S, 0.0)) for trial in trials) >= tune.budget_s
    return len(trials) >= tune.trials


def _is_hopeless(trials: list[FrozenTrial]) -> bool:
    """Whether the backbone cannot host the method, or whatever was tried has failed."""
    statuses = [trial.user_attrs.get(STATUS) for trial in trials]
    failed = [status == Status.FAILED for status in statuses]
    return statuses[:1] == [Status.SKIPPED] or (len(failed) >= GIVEN_UP_AFTER and all(failed))


def _is_orphan(trial: FrozenTrial) -> bool:
    owner = trial.user_attrs.get(OWNER)
    if (
        owner is None
    ):  # its worker died between asking and signing, or signs just now, which the lock rules out
        return True
    host, pid, born = owner
    if host != socket.gethostname():
        return time.time() - float(trial.user_attrs.get(BEAT, 0.0)) > STALE_S
    try:
        return bool(
            abs(psutil.Process(pid).create_time() - born) > 1
        )  # the number went to another process
    except psutil.NoSuchProcess:
        return True


def _own_name() -> list[str | int | float]:
    return [socket.gethostname(), os.getpid(), psutil.Process().create_time()]
