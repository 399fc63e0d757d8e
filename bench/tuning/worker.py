"""The loop of a study: claim a trial, carry it out, tell the sampler; until the budget is spent.

`Evaluate` is a child process in production and a formula in tests. What a trial counts for:

* done: its Dice on the inner validation cases, at its best epoch;
* diverged or out of memory: it counts, and the sampler takes it for worse than all others;
* failed (an exception, a killed child): once more with the same values, then it counts as failed;
* skipped (the backbone cannot host the method): the study ends there.

Of a trial that did not end well, a budget in seconds counts the time from its start to its end. A
study in which trial after trial fails is given up (`study.GIVEN_UP_AFTER`).
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from time import perf_counter, time
from typing import TYPE_CHECKING, cast

from bench.run.resume.folder import remove_checkpoints
from bench.specs.protocol import TuneSpec
from bench.tuning import study as studies
from bench.tuning.plan import LOCK, StudyPlan
from bench.tuning.samplers import has_two_objectives
from bench.tuning.served import hold_study
from reports.records.run import Status
from reports.records.study import FAILURES, PRUNED, RUNNING, TrialRecord

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

ATTEMPTS = 2
POLL_S = 0.5  # how often a worker without a trial looks whether the others have ended theirs

# Takes the number of a validation and the Dice of each case; returns whether to stop the trial.
Report = Callable[[int, tuple[float, ...]], bool]
# Takes a running trial and returns it ended. A pruned one has the Dice that it had when stopped.
Evaluate = Callable[[TrialRecord, Report], TrialRecord]


def tune(
    study: Study,
    plan: StudyPlan,
    evaluate: Evaluate,
    on_trial: Callable[[TrialRecord], None] = lambda trial: None,
    stopped: threading.Event | None = None,
    *,
    stays: bool = True,
) -> None:
    """Work on a study until its budget is spent and the trials of all workers have ended.

    All workers see the plan's folder. ``on_trial`` is called after each trial of this one. A worker
    that does not stay leaves when others have the last trials. Raises: KeyboardInterrupt if
    ``evaluate`` does (the next worker takes up its trial), or if ``stopped``.
    """
    stopped = stopped or threading.Event()
    plan.folder.mkdir(parents=True, exist_ok=True)
    before = studies.list_ended(study)
    while not stopped.is_set():
        with hold_study(study, plan.folder / LOCK):
            trial = studies.claim(study, plan, before)
        if trial is not None:
            with _heartbeat(trial), studies.released_early(trial):
                ended = _carry_out(trial, plan.tune, evaluate)
            _tell(study, trial, plan.tune, ended)
            remove_checkpoints(plan.trial_folder(trial.number))
            on_trial(ended)
        elif not stays or studies.is_done(study, plan, before):
            return
        else:
            stopped.wait(POLL_S)
    raise KeyboardInterrupt


def _carry_out(trial: Trial, tune: TuneSpec, evaluate: Evaluate) -> TrialRecord:
    running = TrialRecord(trial.number, RUNNING, dict(trial.params))
    report, spent_s = _reporter(trial, tune), 0.0
    started = perf_counter()
    for _ in range(ATTEMPTS):
        ended = evaluate(running, report)
        spent_s += ended.fit_s
        if ended.status != Status.FAILED:
            break
    if ended.status in FAILURES:
        spent_s = max(spent_s, perf_counter() - started)
    return replace(ended, fit_s=spent_s)


def _reporter(trial: Trial, tune: TuneSpec) -> Report:
    """Return what records a validation for the pruner: its mean, or all its cases for Wilcoxon."""

    def report(validation: int, dices: tuple[float, ...]) -> bool:
        if has_two_objectives(tune):
            return False  # Optuna takes no such values then
        steps = {validation: sum(dices) / len(dices)}
        if tune.pruner == "wilcoxon":
            steps = dict(enumerate(dices, start=validation * len(dices)))
        with warnings.catch_warnings():
            # A trial that was taken up again repeats what it has reported.
            warnings.filterwarnings("ignore", message="The reported value is ignored")
            for step, dice in steps.items():
                trial.report(dice, step)
        return trial.number > 0 and trial.should_prune()  # the default is never pruned

    return report


def _tell(study: Study, trial: Trial, tune: TuneSpec, ended: TrialRecord) -> None:
    from optuna.trial import TrialState

    if trial.storage.get_trial(trial._trial_id).state.is_finished():
        return  # by another worker, after a long silence of this one
    for name in studies.ENDING:
        trial.set_user_attr(name, getattr(ended, name))
    # The Wilcoxon pruner asks to be told the mean so far of a trial that it has stopped.
    has_value = ended.status == PRUNED and tune.pruner == "wilcoxon"
    two = has_two_objectives(tune)
    if ended.status == Status.DONE or has_value:
        values = [ended.dice, ended.params_tuned] if two else [ended.dice]
        study.tell(trial, cast("list[float]", values))
    else:
        failed = ended.status == Status.FAILED or two
        study.tell(trial, state=TrialState.FAIL if failed else TrialState.PRUNED)


@contextmanager
def _heartbeat(trial: Trial) -> Iterator[None]:
    """Let workers on other machines know that this one lives."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(studies.BEAT_S):
            with suppress(Exception):  # the storage may be away for a while; the next beat counts
                trial.set_user_attr(studies.BEAT, time())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
