"""Studies that are cut off, and several workers on one: the trials are those of a calm study."""

import threading

import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import Trial

from bench.tuning import study as studies
from bench.tuning.space import Dimension
from bench.tuning.study import open_storage, open_study
from bench.tuning.worker import tune
from tests.bench.tuning.formulas import SPACE, bowl, learning, suggestions


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


def test_a_worker_goes_on_to_tell_that_it_lives_after_its_storage_was_away(
    work, make_plan, monkeypatch
):
    monkeypatch.setattr(studies, "BEAT_S", 0.01)
    tells, beats = Trial.set_user_attr, []
    again = threading.Event()

    def fails_first(trial, key, value):
        if key == studies.BEAT and threading.current_thread() is not threading.main_thread():
            beats.append(value)
            if len(beats) == 1:
                raise ConnectionError("the storage is away")
            again.set()
        tells(trial, key, value)

    def waits(trial, report):
        assert again.wait(10)
        return bowl(trial, report)

    monkeypatch.setattr(Trial, "set_user_attr", fails_first)
    assert len(work(make_plan(1), waits).trials) == 1
