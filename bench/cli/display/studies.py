"""How far the studies of a search are."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from rich.console import Console

from bench.cli.display.board import Board
from bench.cli.display.options import OutputRequest
from bench.cli.display.words import FAILURES, describe_trial, name_trial
from bench.cost.phases import schedule_s
from bench.run.watch.log_file import LOG_FILE
from bench.run.watch.progress import Stand, describe_phase, describe_stand, format_time
from bench.tuning.plan import StudyPlan, TrialEvent
from reports.formats.terminal import escape
from reports.records.run import Status
from reports.records.study import RUNNING


@dataclass
class _Trial:
    """A trial that goes on."""

    began: float
    told: float  # when ``stand`` came
    stand: Stand | None = None

    def left_s(self, now: float) -> float | None:
        """Return the seconds until it has ended, if its speed is known."""
        if self.stand is None or self.stand.left_s is None:
            return None
        return max(0.0, self.stand.left_s - (now - self.told))


class _Study:
    """The trials of a study, and when it will have ended."""

    def __init__(self, plan: StudyPlan) -> None:
        self.plan = plan
        self.best: float | None = None
        self.took_s: list[float] = []  # of each trial that ended in this command
        self.n_begun = 0  # earlier ones included
        self.active: dict[int, _Trial] = {}

    def typical_s(self, now: float) -> float | None:
        """Return the seconds of a trial, of those so far or else of one that goes on."""
        if self.took_s:
            return fmean(self.took_s)
        for trial in self.active.values():
            left_s = trial.left_s(now)
            if left_s is not None:
                return now - trial.began + left_s
        return None

    def left_s(self, now: float, typical_s: float | None) -> float | None:
        """Return the seconds until the study has ended, whose trials take ``typical_s``."""
        tune = self.plan.tune
        if tune.budget_s:
            passed_s = sum(now - trial.began for trial in self.active.values())
            return max(0.0, tune.budget_s - sum(self.took_s) - passed_s)
        if typical_s is None:
            return None
        busy_s = []
        for trial in self.active.values():
            left_s = trial.left_s(now)
            busy_s.append(max(0.0, typical_s - (now - trial.began)) if left_s is None else left_s)
        waiting_s = [typical_s] * max(0, tune.trials - self.n_begun)
        return schedule_s(busy_s, waiting_s, max(1, len(busy_s)))


class StudyDisplay(Board):
    """Shows the events of studies, and when these will have ended."""

    def __init__(
        self,
        console: Console,
        output: OutputRequest,
        plans: Sequence[StudyPlan],
        n_slots: int | None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(console, output, now)
        self.n_slots = n_slots or 1
        self.studies = {plan.name: _Study(plan) for plan in plans}
        for plan in plans:
            self.move(plan.name, _name(plan), 0.0, "waiting", None)

    def show(self, event: TrialEvent) -> None:
        """Bring everything up to date with an event."""
        with self.lock:
            study = self.studies[event.plan.name]
            if event.trial.status == RUNNING:
                self._go_on(study, event)
            else:
                self._end(study, event)
            self._move(study, event)

    def left_s(self) -> float | None:
        """Return the seconds until all studies have ended; None: not known yet."""
        now = self.now()
        typical = {name: study.typical_s(now) for name, study in self.studies.items()}
        known_s = [each for each in typical.values() if each is not None]
        mean_s = fmean(known_s) if known_s else None
        busy_s: list[float] = []
        waiting_s: list[float] = []
        for name, study in self.studies.items():
            left_s = study.left_s(now, typical[name] or mean_s)
            if left_s is None:
                return None
            (busy_s if study.active else waiting_s).append(left_s)
        return schedule_s(busy_s, waiting_s, max(self.n_slots, len(busy_s)))

    def _go_on(self, study: _Study, event: TrialEvent) -> None:
        now = self.now()
        number = event.trial.number
        if number not in study.active:
            study.active[number] = _Trial(now, now)
            study.n_begun = max(study.n_begun, number + 1)
            self.add(_key(event), name_trial(event), lambda: self._describe(study, number))
            if self.has_lines:
                log = event.plan.trial_folder(number) / LOG_FILE
                self.print(f"started  {name_trial(event)}, log: {escape(log)}")
        if event.stand is not None:
            study.active[number].stand = event.stand
            study.active[number].told = now

    def _end(self, study: _Study, event: TrialEvent) -> None:
        self.remove(_key(event))
        trial = event.trial
        study.n_begun = max(study.n_begun, trial.number + 1)
        begun = study.active.pop(trial.number, None)
        if begun is not None:
            study.took_s.append(self.now() - begun.began)
        if trial.status == Status.DONE and trial.dice is not None:
            study.best = trial.dice if study.best is None else max(study.best, trial.dice)
        line = describe_trial(event, study.best)
        if self.has_lines:
            left_s = self.left_s()
            line += f" (ETA of all {'unknown' if left_s is None else format_time(left_s)})"
        if not self.output.quiet or trial.status in FAILURES:
            self.print(line)

    def _describe(self, study: _Study, number: int) -> str:
        trial = study.active.get(number)
        if trial is None or trial.stand is None:
            return "starting"
        return describe_stand(trial.stand, trial.left_s(self.now()))

    def _move(self, study: _Study, event: TrialEvent) -> None:
        plan = event.plan
        state = f"trial {event.trial.number + 1}"
        if plan.tune.trials:
            state += f"/{plan.tune.trials}"
        if event.stand is not None:
            state += f", {describe_phase(event.stand)}"
        n_ended = study.n_begun - len(study.active)
        share = n_ended / plan.tune.trials if plan.tune.trials else 0.0
        now = self.now()
        self.move(plan.name, _name(plan), share, state, study.left_s(now, study.typical_s(now)))


def _name(plan: StudyPlan) -> str:
    return escape(f"{plan.run.method} · {plan.run.dataset}")


def _key(event: TrialEvent) -> str:
    return f"{event.plan.name} {event.trial.number}"
