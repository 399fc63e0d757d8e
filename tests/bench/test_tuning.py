"""The study's loop on formulas instead of networks: budgets, interruptions, workers, a planted optimum."""

import math
import threading
from dataclasses import replace

import pytest

from bench.results import Status
from bench.search import Dimension, build_space, check_owners
from bench.spec import Protocol, SpecError, TuneSpec
from bench.study import StudySpec, open_storage, open_study
from bench.tuning import Outcome, tune
from methods import build

SPACE = (
    Dimension("train.lr", 1e-3, (), 1e-5, 1.0, log=True),
    Dimension("method.rank", 8, (4, 8, 16)),
)


def study_spec(n_trials=8, **tune_fields):
    return StudySpec("s", SPACE, TuneSpec(trials=n_trials, **tune_fields), {"train": {"lr": 1e-3}})


def bowl(number, values, report):
    """A method that learns only near a learning rate of 0.03, 30 times its default."""
    distance = math.log10(values["train.lr"] / 0.03)
    return Outcome(Status.DONE, dice=math.exp(-8 * distance**2), params_tuned=values["method.rank"], fit_s=1.0)


@pytest.fixture
def work(tmp_path):
    """Return a function that works on the study in ``tmp_path`` as a fresh process would."""

    def run(spec, evaluate=bowl):
        study = open_study(open_storage(f"sqlite:///{tmp_path / 'optuna.db'}"), spec)
        tune(study, spec, evaluate, tmp_path / "lock")
        return study

    return run


def suggestions(study):
    return [trial.params for trial in study.trials]


def test_the_first_trial_is_the_default_and_the_budget_is_met_exactly(work):
    study = work(study_spec(6))
    assert study.trials[0].params == {"train.lr": 1e-3, "method.rank": 8}
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 6
    assert len(work(study_spec(6)).trials) == 6  # nothing is left to do


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "cmaes", "qmc"])
def test_an_interrupted_study_goes_on_as_if_it_had_not_been(sampler, tmp_path):
    spec = study_spec(7, sampler=sampler)

    def run(name, evaluate):
        study = open_study(open_storage(f"sqlite:///{tmp_path / name}"), spec)
        tune(study, spec, evaluate, tmp_path / "lock")
        return study

    undisturbed = run("a.db", bowl)
    calls = []

    def dies_at_the_fourth(number, values, report):
        calls.append(number)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return bowl(number, values, report)

    with pytest.raises(KeyboardInterrupt):
        run("b.db", dies_at_the_fourth)
    study = open_study(open_storage(f"sqlite:///{tmp_path / 'b.db'}"), spec)
    study._storage.set_trial_user_attr(study.trials[3]._trial_id, "owner", ["elsewhere", 1, 0.0])
    study._storage.set_trial_user_attr(study.trials[3]._trial_id, "beat", 0.0)  # silent since 1970
    assert suggestions(run("b.db", bowl)) == suggestions(undisturbed)


def test_two_workers_share_a_study_without_a_surplus_trial(tmp_path):
    spec = study_spec(12)
    carried_out = []

    def slow(number, values, report):
        carried_out.append(number)
        return bowl(number, values, report)

    def worker():
        study = open_study(open_storage(f"sqlite:///{tmp_path / 'optuna.db'}"), spec)
        tune(study, spec, slow, tmp_path / "lock")

    open_study(open_storage(f"sqlite:///{tmp_path / 'optuna.db'}"), spec)
    threads = [threading.Thread(target=worker) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(carried_out) == list(range(12))


def test_a_budget_in_seconds_of_fit_ends_the_study(work):
    assert len(work(study_spec(0, budget_s=4.5)).trials) == 5  # a second each: the fifth goes over the edge


def test_what_fails_is_tried_once_more_and_then_counts(work):
    attempts = []

    def fails(number, values, report):
        attempts.append(number)
        if number == 1:
            return Outcome(Status.FAILED, math.nan, 0, 0.0, "no reason")
        return Outcome(Status.OOM, math.nan, 0, 0.0) if number == 2 else bowl(number, values, report)

    study = work(study_spec(4), fails)
    assert attempts == [0, 1, 1, 2, 3]
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "PRUNED", "COMPLETE"]
    assert [trial.user_attrs["status"] for trial in study.trials] == ["done", "failed", "oom", "done"]


@pytest.mark.parametrize("pruner", ["median", "wilcoxon"])
def test_a_hopeless_trial_is_pruned_but_never_the_default(pruner, work):
    epochs = {}

    def learns(number, values, report):
        level = 0.2 if number in (0, 5) else 0.8 + number / 100
        for epoch in range(6):
            epochs[number] = epoch + 1
            if report(epoch, tuple(level + case / 1000 for case in range(6))):
                return Outcome(Status.DONE, level, 1, 1.0, pruned=True)
        return Outcome(Status.DONE, level, 1, 1.0)

    study = work(study_spec(6, pruner=pruner), learns)
    assert epochs[0] == 6
    assert epochs[5] < 6
    assert study.trials[5].user_attrs["status"] == "pruned"
    assert study.best_trial.number == 4


def test_two_objectives_give_a_front(work):
    study = work(study_spec(12, objectives="dice,params"))
    ranks = {trial.params["method.rank"] for trial in study.best_trials}
    assert 4 in ranks, "the smallest rank is on the front, whatever its Dice"
    assert len(study.trials) == 12


def test_a_study_whose_space_has_changed_is_refused_with_the_difference(work):
    work(study_spec(2))
    wider = (replace(SPACE[0], high=10.0), SPACE[1])
    with pytest.raises(SpecError, match=r"study s: space\.train\.lr\.high has changed from 1\.0 to 10\.0 .*--study"):
        work(replace(study_spec(2), space=wider))


def test_a_storage_that_cannot_be_opened_is_one_sentence(tmp_path):
    (tmp_path / "optuna.db").write_text("this is no database, but it is long enough to be read as one" * 20)
    with pytest.raises(SpecError, match=r"--storage sqlite:.*: must be open to reading and writing"):
        open_storage(f"sqlite:///{tmp_path / 'optuna.db'}")


def test_tpe_finds_a_planted_learning_rate_and_beats_random(work, tmp_path):
    best = {}
    for sampler in ("tpe", "random"):
        for seed in range(10):
            spec = replace(study_spec(20, sampler=sampler, seed=seed), name=f"{sampler}{seed}")
            study = open_study(open_storage("sqlite://"), spec)
            tune(study, spec, bowl, tmp_path / "lock")
            best[sampler, seed] = study.best_value
    tpe, random = ([best[sampler, seed] for seed in range(10)] for sampler in ("tpe", "random"))
    assert min(tpe) > 0.5, "the default's Dice is 2e-8"
    assert sum(tpe) > sum(random)


def test_the_space_holds_the_methods_choices_and_the_shared_ranges():
    space = {dimension.key: dimension for dimension in build_space(build("lora", {}), Protocol())}
    assert {"method.rank", "method.alpha", "train.lr", "train.weight_decay", "train.warmup_frac"} <= space.keys()
    assert space["method.rank"].choices == (4, 8, 16)
    assert (space["train.lr"].default, space["train.lr"].log) == (1e-3, True)


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        ("lora.rank=16..64", "must include its default 8"),
        ("lora.rnk=2..64", r"lora has no setting 'rnk' \(did you mean 'rank'\?\)"),
        ("train.epochs=1..3", "unknown dimension 'train.epochs'"),
        ("lora.rank", "must look like"),
        ("lora.rank=few", "must be values such as 2,4,8"),
        ("lora.rank=64..2", "must have a lower end below"),
    ],
)
def test_a_wrong_dimension_is_one_sentence(search, sentence):
    with pytest.raises(SpecError, match=sentence):
        build_space(build("lora", {}), Protocol(), [search])


def test_a_search_for_a_method_that_is_not_tuned_is_refused():
    with pytest.raises(SpecError, match=r"unknown dimension 'lroa\.rank=2\.\.4' \(did you mean 'lora'\?\)"):
        check_owners(["lroa.rank=2..4"], ["lora", "linear"])


def test_a_range_on_the_command_line_replaces_the_choices():
    space = {dimension.key: dimension for dimension in build_space(build("lora", {}), Protocol(), ["lora.rank=2..64"])}
    assert (space["method.rank"].low, space["method.rank"].high, space["method.rank"].log) == (2, 64, True)
