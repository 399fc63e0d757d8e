"""The loop of a study on formulas instead of networks: budgets, pruning, refusals, an optimum."""

import sqlite3
from dataclasses import replace

import pytest
from optuna.storages import InMemoryStorage

from bench.specs.protocol import SpecError
from bench.tuning.study import open_storage, open_study, storage_errors
from bench.tuning.worker import tune
from reports.records.run import Status
from reports.records.study import PRUNED
from tests.bench.tuning.formulas import SPACE, bowl, end, suggestions


def test_the_first_trial_is_the_default_and_the_budget_is_met_exactly(work, make_plan):
    study = work(make_plan(6))
    assert study.trials[0].params == {"train.lr": 1e-3, "method.rank": 8}
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 6
    assert len(work(make_plan(6)).trials) == 6  # nothing is left to do


def test_a_budget_in_seconds_of_fit_ends_the_study(work, make_plan):
    assert (
        len(work(make_plan(0, budget_s=4.5)).trials) == 5
    )  # a second each: the fifth goes over the edge


def test_what_fails_is_tried_once_more_and_then_counts(work, make_plan):
    attempts = []

    def fails(trial, report):
        attempts.append(trial.number)
        if trial.number == 1:
            return end(trial, status=Status.FAILED, reason="no reason")
        bad = {2: Status.OOM, 3: Status.DIVERGED}.get(trial.number)
        return end(trial, status=bad) if bad else bowl(trial, report)

    study = work(make_plan(5), fails)
    assert attempts == [0, 1, 1, 2, 3, 4]
    assert [trial.state.name for trial in study.trials] == [
        "COMPLETE",
        "FAIL",
        "PRUNED",
        "PRUNED",
        "COMPLETE",
    ]
    assert [trial.user_attrs["status"] for trial in study.trials] == [
        "done",
        "failed",
        "oom",
        "diverged",
        "done",
    ]
    assert study.trials[1].user_attrs["reason"] == "no reason"


@pytest.mark.parametrize("pruner", ["median", "wilcoxon"])
def test_a_hopeless_trial_is_pruned_but_never_the_default(pruner, work, make_plan):
    epochs = {}

    def learns(trial, report):
        level = 0.2 if trial.number in (0, 5) else 0.8 + trial.number / 100
        for epoch in range(6):
            epochs[trial.number] = epoch + 1
            if report(epoch, tuple(level + case / 1000 for case in range(6))):
                return end(trial, level, PRUNED)
        return end(trial, level)

    study = work(make_plan(6, pruner=pruner), learns)
    assert epochs[0] == 6
    assert epochs[5] < 6
    assert study.trials[5].user_attrs["status"] == "pruned"
    assert study.best_trial.number == 4


def test_a_method_that_the_backbone_cannot_host_ends_its_study_at_once(work, make_plan):
    def skip(trial, report):
        return end(trial, status=Status.SKIPPED, reason="needs role 'prompt'")

    for budget in ({"n_trials": 5}, {"n_trials": 0, "budget_s": 1e6}):
        plan = make_plan(**budget, name=str(budget))
        assert len(work(plan, skip).trials) == 1


def test_a_study_in_which_everything_fails_is_given_up_whatever_its_budget(work, make_plan):
    def fail(trial, report):
        return end(trial, status=Status.FAILED, reason="crash")

    assert len(work(make_plan(0, budget_s=1e6), fail).trials) == 5


def test_the_seconds_of_a_failed_attempt_count(work, make_plan):
    def fail(trial, report):
        return end(trial, status=Status.FAILED, fit_s=3.0, reason="killed")

    study = work(make_plan(1), fail)
    assert study.trials[0].user_attrs["fit_s"] == 6.0  # two attempts


def test_two_objectives_give_a_front(work, make_plan):
    study = work(make_plan(12, objectives="dice,params"))
    ranks = {trial.params["method.rank"] for trial in study.best_trials}
    assert 4 in ranks, "the smallest rank is on the front, whatever its Dice"
    assert len(study.trials) == 12


def test_a_study_whose_space_has_changed_is_refused_with_the_difference(work, make_plan):
    work(make_plan(2))
    wider = (replace(SPACE[0], high=10.0), SPACE[1])
    with pytest.raises(
        SpecError, match=r"study s: space\.train\.lr\.high has changed from 1\.0 to 10\.0 .*--study"
    ):
        work(make_plan(2, space=wider))


def test_a_study_whose_protocol_has_changed_is_refused_with_the_difference(work, make_plan):
    work(make_plan(2))
    with pytest.raises(
        SpecError, match=r"study s: protocol\.train\.lr has changed from 0\.001 to 0\.01 .*--study"
    ):
        work(make_plan(2, lr=1e-2))


def test_a_larger_budget_goes_on_with_the_same_study(work, make_plan):
    first = suggestions(work(make_plan(3)))
    assert suggestions(work(make_plan(5)))[:3] == first


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///{}/text",
        "sqlite:////proc/no/optuna.db",
        "journal:/proc/no/log",
        "oracle://server/db",
        "no uri",
    ],
)
def test_a_storage_that_cannot_be_opened_is_one_sentence(uri, tmp_path):
    (tmp_path / "text").write_text(
        "this is no database, but it is long enough to be read as one" * 20
    )
    with pytest.raises(
        SpecError, match=r"--storage .*: must be open to reading and writing, got \S"
    ) as caught:
        open_storage(uri.format(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_storage_that_somebody_has_locked_is_one_sentence(tmp_path, monkeypatch, make_plan):
    monkeypatch.setattr("bench.tuning.study.SQLITE_WAIT_S", 0.1)
    uri = f"sqlite:///{tmp_path / 'optuna.db'}"
    storage = open_storage(uri)
    with sqlite3.connect(tmp_path / "optuna.db", isolation_level=None) as other:
        other.execute("begin exclusive")
        sentence = r"must be open to reading and writing, got .*database is locked"
        with pytest.raises(SpecError, match=sentence), storage_errors(uri):
            open_study(storage, make_plan(1))
        other.execute("rollback")


def test_tpe_finds_a_planted_learning_rate_and_beats_random(work, make_plan):
    best = {}
    for sampler in ("tpe", "random"):
        for seed in range(10):
            plan = make_plan(20, name=f"{sampler}{seed}", sampler=sampler, seed=seed)
            study = open_study(InMemoryStorage(), plan)
            tune(study, plan, bowl)
            best[sampler, seed] = study.best_value
    tpe, random = ([best[sampler, seed] for seed in range(10)] for sampler in ("tpe", "random"))
    assert min(tpe) > 0.5, "the default's Dice is 2e-8"
    assert sum(tpe) > sum(random)
