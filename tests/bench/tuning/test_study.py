"""The study's loop on formulas instead of networks: budgets, interruptions, workers, an optimum."""

import math
import sqlite3
import threading
from dataclasses import replace

import pytest
from optuna.storages import InMemoryStorage

from bench.specs import lookup
from bench.specs.presets import PRESETS
from bench.specs.protocol import Protocol, SpecError, TrainSpec, TuneSpec, override
from bench.specs.run import MethodSpec, RunSpec
from bench.tuning.plan import StudyPlan
from bench.tuning.space import Dimension, build_space, check_dimensions, defaults, split_values
from bench.tuning.study import open_storage, open_study, storage_errors
from bench.tuning.worker import tune
from methods import METHODS, build
from reports.records.run import Status
from reports.records.study import PRUNED

SPACE = (
    Dimension("train.lr", 1e-3, (), 1e-5, 1.0, log=True),
    Dimension("method.rank", 8, (4, 8, 16)),
)


@pytest.fixture
def make_plan(tmp_path):
    """Return a function that makes the plan of a study in a folder of this test."""

    def make(n_trials=8, name="s", space=SPACE, lr=1e-3, **tune_fields):
        protocol = Protocol(train=TrainSpec(lr=lr), tune=TuneSpec(trials=n_trials, **tune_fields))
        run = RunSpec(MethodSpec("lora"), "brats", "abc", 0, 0, protocol, tmp_path)
        return StudyPlan(name, run, space, tmp_path)

    return make


def end(trial, dice=None, status=Status.DONE, **fields):
    return replace(trial, status=status, dice=dice, **{"fit_s": 1.0} | fields)


def bowl(trial, report):
    """A method that learns only near a learning rate of 0.03, 30 times its default."""
    distance = math.log10(trial.values["train.lr"] / 0.03)
    dice = math.exp(-8 * distance**2)
    return end(trial, dice, params_tuned=trial.values["method.rank"])


@pytest.fixture
def work():
    """Return a function that works on the study in a storage of this test."""
    storage = InMemoryStorage()

    def run(plan, evaluate=bowl, **options):
        study = open_study(storage, plan)
        tune(study, plan, evaluate, **options)
        return study

    return run


def suggestions(study):
    return [trial.params for trial in study.trials]


def test_the_first_trial_is_the_default_and_the_budget_is_met_exactly(work, make_plan):
    study = work(make_plan(6))
    assert study.trials[0].params == {"train.lr": 1e-3, "method.rank": 8}
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 6
    assert len(work(make_plan(6)).trials) == 6  # nothing is left to do


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "cmaes", "qmc"])
def test_an_interrupted_study_goes_on_as_if_it_had_not_been(sampler, make_plan):
    plan = make_plan(7, sampler=sampler)

    calm, stormy = InMemoryStorage(), InMemoryStorage()

    def run(storage, evaluate):
        study = open_study(storage, plan)
        tune(study, plan, evaluate)
        return study

    undisturbed = run(calm, bowl)
    calls = []

    def dies_at_the_fourth(trial, report):
        calls.append(trial.number)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return bowl(trial, report)

    with pytest.raises(KeyboardInterrupt):
        run(stormy, dies_at_the_fourth)
    orphan = open_study(stormy, plan).trials[3]._trial_id
    stormy.set_trial_user_attr(orphan, "owner", ["elsewhere", 1, 0.0])
    stormy.set_trial_user_attr(orphan, "beat", 0.0)  # silent since 1970
    assert suggestions(run(stormy, bowl)) == suggestions(undisturbed)


@pytest.mark.parametrize(
    "sampler", ["tpe", "random", "cmaes"]
)  # gp and qmc draw all at once, and draw anew
def test_a_worker_that_dies_between_two_suggestions_leads_to_the_same_trials(
    sampler, monkeypatch, make_plan
):
    plan = make_plan(7, sampler=sampler)
    calm, stormy = open_study(InMemoryStorage(), plan), open_study(InMemoryStorage(), plan)
    tune(calm, plan, bowl)
    calls, suggest = [], Dimension.suggest

    def dies_at_the_second_of_the_fourth(dimension, trial):
        calls.append(dimension.key)
        if len(calls) == 3 * len(SPACE) + 2:
            raise KeyboardInterrupt
        return suggest(dimension, trial)

    with monkeypatch.context() as patch:
        patch.setattr(Dimension, "suggest", dies_at_the_second_of_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            tune(stormy, plan, bowl)
    orphan = stormy.trials[3]
    assert len(orphan.params) == 1
    stormy._storage.set_trial_user_attr(orphan._trial_id, "owner", ["elsewhere", 1, 0.0])
    stormy._storage.set_trial_user_attr(orphan._trial_id, "beat", 0.0)  # silent since 1970
    tune(stormy, plan, bowl)
    assert suggestions(stormy) == suggestions(calm)


def learning(trial, report):
    """A curve of four validations that rises to what `bowl` gives; hopeless ones are stopped."""
    dice = bowl(trial, report).dice
    for validation in range(4):
        if report(validation, (dice * (validation + 1) / 4,)):
            return end(trial, dice, PRUNED)
    return end(trial, dice)


def test_a_trial_that_dies_between_validations_leads_to_the_same_trials(make_plan):
    plan, calls = make_plan(12), []

    def dies(trial, report):
        calls.append(trial.number)
        if len(calls) == 8:
            report(0, (bowl(trial, report).dice / 4,))
            raise KeyboardInterrupt
        return learning(trial, report)

    calm, stormy = open_study(InMemoryStorage(), plan), open_study(InMemoryStorage(), plan)
    tune(calm, plan, learning)
    with pytest.raises(KeyboardInterrupt):
        tune(stormy, plan, dies)
    stormy._storage.set_trial_user_attr(stormy.trials[7]._trial_id, "owner", ["elsewhere", 1, 0.0])
    stormy._storage.set_trial_user_attr(stormy.trials[7]._trial_id, "beat", 0.0)
    tune(stormy, plan, learning)
    states = [trial.user_attrs["status"] for trial in calm.trials]
    assert "pruned" in states
    assert states == [trial.user_attrs["status"] for trial in stormy.trials]
    assert suggestions(calm) == suggestions(stormy)


@pytest.mark.parametrize("uri", ["sqlite:///{}/optuna.db", "journal:{}/optuna.journal"])
def test_two_workers_share_a_study_without_a_surplus_trial(uri, tmp_path, make_plan):
    plan, uri = make_plan(6), uri.format(tmp_path)
    open_study(open_storage(uri), plan)
    carried_out = {"a": [], "b": []}
    both_work = threading.Barrier(2)

    def worker(name):
        def evaluate(trial, report):
            if not carried_out[name]:
                both_work.wait(timeout=30)
            carried_out[name].append(trial.number)
            return bowl(trial, report)

        tune(open_study(open_storage(uri), plan), plan, evaluate)

    threads = [threading.Thread(target=worker, args=(name,)) for name in carried_out]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(carried_out["a"] + carried_out["b"]) == list(range(6))
    assert all(
        trial.state.name == "COMPLETE" for trial in open_study(open_storage(uri), plan).trials
    )


def test_a_worker_that_waits_for_others_can_be_stopped(work, make_plan):
    stopped = threading.Event()

    def evaluate(trial, report):
        threading.Timer(0.2, stopped.set).start()
        with pytest.raises(KeyboardInterrupt):
            work(make_plan(1), bowl, stopped=stopped)  # no trial is left for this second worker
        return bowl(trial, report)

    assert len(work(make_plan(1), evaluate).trials) == 1


def test_a_result_that_comes_after_another_worker_ended_the_trial_is_dropped(make_plan):
    plan = make_plan(2)
    study = open_study(InMemoryStorage(), plan)

    def evaluate(trial, report):
        if trial.number == 1:
            study.tell(trial.number, 0.75)
        return bowl(trial, report)

    tune(study, plan, evaluate)
    assert study.trials[1].value == 0.75


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


def test_the_space_holds_the_methods_choices_and_the_shared_ranges():
    space = {dimension.key: dimension for dimension in build_space(build("lora", {}), Protocol())}
    assert {
        "method.rank",
        "method.alpha",
        "train.lr",
        "train.weight_decay",
        "train.warmup_frac",
    } <= space.keys()
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
        ("lora.rank=0..64", "--search: lora: rank must be >= 1, got 0"),
        ("lora.rank=0,8", "--search: lora: rank must be >= 1, got 0"),
        ("lora.dropout=0..1.5", r"--search: lora: dropout must be in \[0, 1\), got 1.5"),
        ("train.warmup_frac=0..1", r"--search: train\.warmup_frac: must be in \[0, 1\), got 1\.0"),
        ("train.lr=1e-3..inf", "must be values such as 2,4,8 or a range of numbers"),
        ("lora.rank=2.5..64", "must be values such as 2,4,8 or a range of numbers"),
        ("lora.placement=qv,everything", "--search: lora: placement must be one of qv, qkv"),
    ],
)
def test_a_wrong_dimension_is_one_sentence(search, sentence):
    with pytest.raises(SpecError, match=sentence):
        build_space(build("lora", {}), Protocol(), [search])


def test_a_search_for_a_method_that_is_not_tuned_is_refused():
    with pytest.raises(
        SpecError, match=r"unknown dimension 'lroa\.rank=2\.\.4' \(did you mean 'lora'\?\)"
    ):
        check_dimensions(["lroa.rank=2..4"], [], [build("lora"), build("linear")], Protocol())


def test_a_range_on_the_command_line_replaces_the_choices():
    space = {
        dimension.key: dimension
        for dimension in build_space(build("lora", {}), Protocol(), ["lora.rank=2..64"])
    }
    assert (space["method.rank"].low, space["method.rank"].high, space["method.rank"].log) == (
        2,
        64,
        True,
    )


def test_only_the_named_dimensions_are_searched():
    only = ["train.lr", "lora.rank", "vpt_deep.n_prompts"]
    lora = build_space(build("lora", {}), Protocol(), ["train.lr=1e-3,1e-2"], only)
    assert [dimension.asked_as("lora") for dimension in lora] == ["lora.rank", "train.lr"]
    assert lora[1].choices == (1e-3, 1e-2)
    with pytest.raises(SpecError, match=r"--only: linear has no dimension 'lora.rank'"):
        build_space(build("linear", {}), Protocol(), only=["lora.rank"])


# whatever they train is a bias, a norm, a scale or a prompt
UNDECAYED = ["linear", "vpt_shallow", "vpt_deep", "ssf", "difffit", "bitfit", "norm"]
UNDECAYED += ["gps", "spt"]


@pytest.mark.parametrize("name", METHODS)
def test_the_first_trial_of_every_method_is_what_it_runs_with_untuned(name):
    method, protocol = build(name), Protocol()
    values = defaults(build_space(method, protocol))
    own, shared = split_values(values)
    assert build(name, own) == method
    for key, value in shared.items():
        assert override(protocol, f"{key}={value}") == protocol
    assert {"train.decoder_lr", "train.decoder_weight_decay", "train.warmup_frac"} <= shared.keys()
    assert ("train.lr" in shared) == (name != "linear")
    assert ("train.weight_decay" in shared) == (name not in UNDECAYED)


def test_the_ranges_of_both_rates_are_wide_and_hold_the_defaults():
    for preset in PRESETS.values():
        space = {each.key: each for each in build_space(build("lora"), preset.protocol)}
        for key in ("train.lr", "train.decoder_lr"):
            assert space[key].log
            assert space[key].high / space[key].low >= 1000
            assert 2 * space[key].low <= space[key].default <= space[key].high / 2


def test_a_method_on_which_nothing_that_is_searched_has_an_effect_tries_its_default(
    work, make_plan
):
    assert build_space(build("linear"), Protocol(), only=["train.lr"]) == ()
    assert build_space(build("linear"), Protocol(), ["train.lr=1e-4..1e-1"], ["train.lr"]) == ()
    study = work(make_plan(5, space=()), lambda trial, report: end(trial, 0.5))
    assert [trial.params for trial in study.trials] == [{}]


def test_a_search_without_effect_on_any_method_is_refused():
    sentence = r"--search: train.lr has no effect on the methods that are tuned \(did you mean"
    with pytest.raises(SpecError, match=sentence):
        check_dimensions(["train.lr=1e-4..1e-1"], [], [build("linear")], Protocol())
    check_dimensions(["train.lr=1e-4..1e-1"], [], [build("linear"), build("lora")], Protocol())


def test_drop_path_is_searched_only_where_blocks_are_in_training_mode():
    following = override(Protocol(), "model.backbone_mode=train")
    searched = {
        (name, protocol.model.backbone_mode)
        for name in ("full", "lora")
        for protocol in (Protocol(), following)
        if "train.drop_path" in defaults(build_space(build(name), protocol))
    }
    assert searched == {("full", "eval"), ("full", "train"), ("lora", "train")}


def test_a_reference_network_is_searched_over_what_has_an_effect_on_it():
    following = override(Protocol(), "model.backbone_mode=train")
    space = defaults(build_space(lookup.build("net:nnunet"), following))
    assert "train.lr" in space
    assert "train.drop_path" not in space
