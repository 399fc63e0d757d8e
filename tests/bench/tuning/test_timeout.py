"""Trials that take longer than they may: ended, counted, and not repeated."""

from pathlib import Path

import pytest
from optuna.storages import InMemoryStorage

from bench.grid import children
from bench.grid.slots import Slots
from bench.specs.protocol import override
from bench.specs.run import Place
from bench.tuning.campaign import Crew
from bench.tuning.plan import plan_studies
from bench.tuning.study import open_study
from bench.tuning.worker import tune
from datasets import processes
from reports.records.run import Status
from reports.records.study import RUNNING, TrialRecord
from tests.bench.grid import workers

FIRST = TrialRecord(0, RUNNING, {})


def test_a_trial_that_takes_too_long_is_killed(
    tmp_path: Path, make_run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ignores SIGTERM."""
    monkeypatch.setattr(children, "PRELOADED", [])
    monkeypatch.setattr(processes, "GRACE_S", 0.2)
    (plan,) = plan_studies([make_run()], tmp_path)
    crew = Crew("", tmp_path, Slots(("cpu",), timeout_s=1.5), lambda event: None)
    function = f"{workers.__name__}:never_end_adaptformer"
    spec, place = workers.make_spec("adaptformer"), Place(tmp_path, tmp_path, "cpu")
    child = children.start_child(function, spec, place, name="trial")
    ended = crew._follow(plan, child, FIRST, lambda validation, dices: False)
    child.messages.close()
    assert (ended.status, ended.fit_s) == (Status.TIMEOUT, 1.5)
    assert ended.reason == "the trial has not ended within 1.5 s (--timeout)"
    assert not child.process.is_alive()


def test_a_trial_that_took_too_long_counts_and_is_not_repeated(tmp_path: Path, make_run) -> None:
    protocol = override(make_run().protocol, "tune.trials=3")
    (plan,) = plan_studies([make_run(protocol=protocol)], tmp_path)
    study = open_study(InMemoryStorage(), plan)
    calls = []

    def evaluate(trial: TrialRecord, report: object) -> TrialRecord:
        calls.append(trial.number)
        return TrialRecord(trial.number, Status.TIMEOUT, trial.values, fit_s=1.5, reason="slow")

    tune(study, plan, evaluate)
    assert calls == [0, 1, 2]
    assert [trial.user_attrs["status"] for trial in study.trials] == ["timeout"] * 3
    assert [trial.state.name for trial in study.trials] == ["PRUNED"] * 3
