"""The loop of a study: claim a trial, carry it out, tell the sampler; until the budget is spent.

How a trial is carried out is not known here: `Evaluate` is a child process in production and a
formula in tests. What becomes of a trial follows one rule for every method:

* done: its Dice on the inner validation cases, at its best epoch;
* diverged or out of memory: it counts, and the sampler takes it for worse than all others;
* failed (an exception, a killed child): once more with the same values, and if it fails again it
counts as failed;
* skipped (the backbone cannot host the method): the study ends there.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

from filelock import FileLock

from bench.tuning import study as studies
from bench.tuning.space import Value
from bench.tuning.study import StudySpec
from reports.records.run import Status

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

ATTEMPTS = 2
POLL_S = 0.5  # how often a worker without a trial looks whether the others have ended theirs


@dataclass(frozen=True)
class Outcome:
    """What a trial came to. ``pruned`` ones carry the Dice that they had when they were stopped."""

    status: Status
    dice: float  # mean over inner validation cases and regions, fraction; nan unless done
    params_tuned: int
    fit_s: float  # of a killed child: its life
    reason: str = ""
    pruned: bool = False


Report = Callable[
    [int, tuple[float, ...]], bool
]  # number of the validation, Dice of each case -> stop?
Evaluate = Callable[
    [int, dict[str, Value], Report], Outcome
]  # number of the trial, its values, ...


def tune(
    study: Study,
    spec: StudySpec,
    evaluate: Evaluate,
    lock: Path,
    on_trial: Callable[[int, dict[str, Value], Outcome], None] = lambda number, values, outcome: (
        None
    ),
    stopped: threading.Event | None = None,
) -> None:
    """Work on a study until its budget is spent and every trial has ended, those of other workers included.

    ``lock`` is a file that all workers of the study see. Raises: KeyboardInterrupt if ``evaluate``
    does, or between trials once ``stopped`` is set; the trial at hand stays open and is taken up by
    the next worker.
    """
    stopped = stopped or threading.Event()
    lock.parent.mkdir(parents=True, exist_ok=True)
    while not stopped.is_set():
        with FileLock(lock):
            trial = studies.claim(study, spec)
        if trial is not None:
            with _heartbeat(trial):
                outcome = _carry_out(trial, spec, evaluate)
            _tell(study, trial, spec, outcome)
            on_trial(trial.number, dict(trial.params), outcome)
        elif studies.is_done(study, spec.tune):
            return
        else:
            stopped.wait(POLL_S)
    raise KeyboardInterrupt


def _carry_out(trial: Trial, spec: StudySpec, evaluate: Evaluate) -> Outcome:
    report, spent_s = _reporter(trial, spec), 0.0
    for _ in range(ATTEMPTS):
        outcome = evaluate(trial.number, dict(trial.params), report)
        spent_s += outcome.fit_s
        if outcome.status is not Status.FAILED:
            break
    return replace(outcome, fit_s=spent_s)


def _reporter(trial: Trial, spec: StudySpec) -> Report:
    """Return what records a validation for the pruner: its mean, or for the Wilcoxon test every case of it.

    Optuna takes no such values where there are two objectives.
    """
    is_default = trial.number == 0

    def report(validation: int, dices: tuple[float, ...]) -> bool:
        if "," in spec.tune.objectives:
            return False
        with (
            warnings.catch_warnings()
        ):  # a trial that was taken up again repeats what it has reported
            warnings.filterwarnings("ignore", message="The reported value is ignored")
            if spec.tune.pruner == "wilcoxon":
                for number, dice in enumerate(dices):
                    trial.report(dice, step=validation * len(dices) + number)
            else:
                trial.report(sum(dices) / len(dices), step=validation)
        return not is_default and trial.should_prune()

    return report


def _tell(study: Study, trial: Trial, spec: StudySpec, outcome: Outcome) -> None:
    from optuna.trial import TrialState

    if trial.storage.get_trial(trial._trial_id).state.is_finished():
        return  # this worker was silent for so long that another one has taken the trial up, and ended it
    trial.set_user_attr(studies.STATUS, "pruned" if outcome.pruned else outcome.status.value)
    trial.set_user_attr(studies.FIT_S, outcome.fit_s)
    trial.set_user_attr("reason", outcome.reason)
    trial.set_user_attr("params_tuned", outcome.params_tuned)
    if outcome.status is Status.DONE and (not outcome.pruned or spec.tune.pruner == "wilcoxon"):
        # A trial that the Wilcoxon test has stopped is told with its mean so far, as that pruner
        # asks for.
        values = (
            [outcome.dice, outcome.params_tuned] if "," in spec.tune.objectives else [outcome.dice]
        )
        study.tell(trial, values)
    elif outcome.status is Status.FAILED or "," in spec.tune.objectives:
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, state=TrialState.PRUNED)


@contextmanager
def _heartbeat(trial: Trial) -> Iterator[None]:
    """Let workers on other machines know that this one lives."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(studies.BEAT_S):
            trial.set_user_attr(studies.BEAT, time())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
