"""A study in which nothing succeeds ends soon, is said so, and can be taken up again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from optuna.storages import InMemoryStorage

from bench.cli.app import main
from bench.specs.protocol import Protocol, TuneSpec
from bench.specs.run import MethodSpec, RunSpec
from bench.tuning.plan import StudyPlan
from bench.tuning.space import Dimension
from bench.tuning.study import open_study
from bench.tuning.worker import Evaluate, tune
from methods.base import MethodInfo
from methods.low_rank.lora import Lora
from reports.records.run import Status
from reports.records.study import FAILURES, read_study

SPACE = (Dimension("train.lr", 1e-3, (), 1e-5, 1.0, log=True),)


class Greedy(Lora):
    """LoRA that asks for more memory than there is."""

    info: ClassVar[MethodInfo] = replace(Lora.info, name="greedy")

    def inject(self, backbone) -> None:
        if not next(backbone.parameters()).is_meta:
            raise torch.OutOfMemoryError("CPU out of memory")


@pytest.fixture
def work(tmp_path: Path) -> Callable[[TuneSpec, Evaluate], list[str]]:
    """Return a function that works on one study and returns the statuses of its trials."""
    storage = InMemoryStorage()

    def run(budget: TuneSpec, evaluate: Evaluate) -> list[str]:
        run = RunSpec(MethodSpec("lora"), "brats", "abc", 0, 0, Protocol(tune=budget), tmp_path)
        plan = StudyPlan("s", run, SPACE, tmp_path)
        study = open_study(storage, plan)
        tune(study, plan, evaluate)
        return [str(trial.user_attrs["status"]) for trial in study.trials]

    return run


def end_as(status: str, fit_s: float = 0.01) -> Evaluate:
    return lambda trial, report: replace(trial, status=status, fit_s=fit_s)


@pytest.mark.parametrize("budget", [TuneSpec(trials=1000), TuneSpec(budget_s=60.0)])
@pytest.mark.parametrize(
    ("status", "n_trials"), [(Status.OOM, 5), (Status.FAILED, 5), (Status.DIVERGED, 10)]
)
def test_a_study_in_which_nothing_succeeds_is_given_up(
    status: str, n_trials: int, budget: TuneSpec, work
) -> None:
    assert work(budget, end_as(status)) == [status] * n_trials
    assert work(budget, end_as(status)) == [status] * 2 * n_trials  # the same command tries again


def test_the_same_command_goes_on_once_the_cause_is_removed(work) -> None:
    budget = TuneSpec(trials=8)
    work(budget, end_as(Status.OOM))

    def succeed(trial, report):
        return replace(trial, status=Status.DONE, dice=0.5, fit_s=1.0)

    assert work(budget, succeed) == [Status.OOM] * 5 + [Status.DONE] * 3


def test_one_success_lets_bad_values_count_but_not_a_broken_machine(work) -> None:
    def end(trial, report):
        if trial.number == 0:
            return replace(trial, status=Status.DONE, dice=0.5, fit_s=1.0)
        return replace(trial, status=Status.OOM if trial.number < 8 else Status.FAILED)

    statuses = work(TuneSpec(trials=1000), end)
    assert statuses == [Status.DONE] + [Status.OOM] * 7 + [Status.FAILED] * 5


def test_a_budget_in_seconds_counts_the_clock_of_what_did_not_end_well(work) -> None:
    def slow(trial, report):
        if trial.number == 0:  # so that the study is not given up
            return replace(trial, status=Status.DONE, dice=0.5, fit_s=0.0)
        time.sleep(0.1)
        return replace(trial, status=Status.OOM, fit_s=0.0)

    assert work(TuneSpec(budget_s=1.0), slow) == [Status.DONE] + [Status.OOM] * 10


@pytest.mark.slow
def test_the_command_gives_up_with_a_sentence_and_exit_code_1(
    tmp_path: Path, monkeypatch, new_store, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path / "store"))
    out = tmp_path / "results"
    arguments = ["tune", "--methods", "tests.faults.values.test_hopeless_study:Greedy"]
    arguments += ["--datasets", "brats", "--budget", "60s", "--out", str(out)]
    assert main(arguments) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "given up after 5 trials" in said
    assert "the same command tries again" in said
    assert "out of memory on cpu" in said
    (file,) = (out / "tuning").glob("*/study.json")
    record = read_study(file)
    assert len(record.trials) == 5
    assert {trial.status for trial in record.trials} <= FAILURES
    assert record.given_up
