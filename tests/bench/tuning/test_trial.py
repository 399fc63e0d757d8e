"""Trials in this process on five small phantoms: what they may read, and how they end."""

import threading
from dataclasses import dataclass, replace

import pytest
import torch
from optuna.storages import InMemoryStorage

import datasets
from bench.run import network, setup
from bench.run.cases import split_of
from bench.run.provenance import describe_run
from bench.run.watch.progress import Stand
from bench.specs.protocol import override
from bench.specs.run import MethodSpec, Place
from bench.tuning.campaign import begin_studies
from bench.tuning.plan import plan_studies
from bench.tuning.study import open_study
from bench.tuning.trial import carry_out_trial
from bench.tuning.worker import tune
from datasets.base import Case
from datasets.brats import Brats
from reports.records.run import Status
from reports.records.study import RUNNING, TrialRecord

FIRST = TrialRecord(0, RUNNING, {})


class SealedError(Exception):
    pass


@dataclass(frozen=True)
class SealedCase(Case):
    """A case that is listed with its label, so that it is split, but whose files cannot be read."""

    def __getattribute__(self, name):
        if name == "images":
            raise SealedError(f"{object.__getattribute__(self, 'id')} is held out")
        return object.__getattribute__(self, name)


@pytest.fixture
def probe(monkeypatch, make_run):
    """Let the data set hand out the held-out cases sealed; return their ids."""
    spec = make_run()
    plain = Brats(spec.root)
    test = set(split_of(plain, plain.find_labelled(), spec).test)

    class Probe(Brats):
        def find_cases(self, left_out=()):
            cases = super().find_cases(left_out)
            return [SealedCase(**vars(case)) if case.id in test else case for case in cases]

    monkeypatch.setattr(datasets, "build", lambda name, root: Probe(root))
    return test


@pytest.fixture
def try_once(tmp_path):
    """Return a function that carries out a trial and returns its outcome and its messages."""

    def run(spec, cache=tmp_path / "cache", trial=FIRST):
        messages = []
        place = Place(tmp_path / "trial", cache, "cpu")
        carry_out_trial(spec, place, lambda *message: messages.append(message))
        *said, end = [message for message in messages if not isinstance(message[1], Stand)]
        return replace(trial, **end[1]), said

    return run


def test_a_study_ends_though_every_held_out_case_raises_when_it_is_read(
    probe, make_run, try_once, tmp_path
):
    assert len(probe) >= 1
    (plan,) = plan_studies(
        [make_run(protocol=override(make_run().protocol, "tune.trials=3"))], tmp_path
    )
    study = open_study(InMemoryStorage(), plan)

    def evaluate(trial, report):
        return try_once(plan.trial_run(trial.values), trial=trial)[0]

    tune(study, plan, evaluate)
    statuses = [trial.user_attrs["status"] for trial in study.trials]
    assert statuses == ["done"] * 3, study.trials[0].user_attrs
    assert not list((tmp_path / "trial").glob("test_reads*"))


def test_the_probe_stops_a_trial_that_looks_at_the_held_out_cases(
    probe, make_run, try_once, monkeypatch
):
    original = setup.load_fold

    def peek(spec, cache, folder):
        fold = original(spec, cache, folder)
        return replace(fold, val=fold.held_out._load())

    monkeypatch.setattr(setup, "load_fold", peek)
    outcome, _ = try_once(make_run())
    assert outcome.status is Status.FAILED
    assert "is held out" in outcome.reason


def test_a_trial_reports_every_validation_and_ends_with_the_best(make_run, try_once, prepared):
    outcome, said = try_once(make_run(), prepared)
    assert len(said) == 2
    means = [sum(dices) / len(dices) for dices, known in said]
    assert (outcome.status, outcome.dice) == (Status.DONE, max(means))
    assert outcome.params_tuned > 0
    assert outcome.fit_s > 0


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
            Status.OOM,
            "when 2.00 GiB more",
        ),
        (
            RuntimeError(
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
            ),
            Status.OOM,
            "cpu",
        ),
        (ZeroDivisionError("by chance"), Status.FAILED, "ZeroDivisionError: by chance"),
    ],
)
def test_what_goes_wrong_in_training_is_recorded_as_what_it_is(
    error, status, reason, make_run, try_once, prepared, monkeypatch
):
    def break_down(*arguments):
        raise error

    monkeypatch.setattr(setup, "fit", break_down)
    outcome, _ = try_once(make_run(), prepared)
    assert outcome.status is status
    assert reason in outcome.reason


def test_weights_that_are_no_numbers_are_recorded_as_diverged(make_run, try_once, prepared):
    protocol = override(override(make_run().protocol, "train.lr=1e38"), "train.clip_norm=1e30")
    outcome, _ = try_once(make_run("full", protocol=protocol), prepared)
    assert outcome.status is Status.DIVERGED, outcome
    assert "these are not finite: backbone.blocks.0" in outcome.reason
    assert "in epoch 0" in outcome.reason


def test_a_method_without_a_place_in_the_backbone_is_skipped(
    make_run, try_once, prepared, monkeypatch
):
    from methods.base import MissingRole

    def refuse(*arguments, **options):
        raise MissingRole("lora needs role 'qkv'")

    monkeypatch.setattr(network, "apply_method", refuse)
    outcome, _ = try_once(make_run(), prepared)
    assert (outcome.status, outcome.reason) == (Status.SKIPPED, "lora needs role 'qkv'")


def test_a_final_run_names_the_study_and_the_trial_that_chose_its_settings(make_run):
    record = describe_run(make_run(study="brats-lora-tiny_vit-f0#3"))
    assert record.study == "brats-lora-tiny_vit-f0#3"


def test_workers_that_begin_at_the_same_time_share_the_new_storage(make_run, tmp_path):
    plans = plan_studies(
        [make_run(protocol=override(make_run().protocol, "tune.trials=1"))], tmp_path
    )
    uri, together, opened = f"sqlite:///{tmp_path / 'optuna.db'}", threading.Barrier(2), []

    def begin():
        together.wait(timeout=30)
        opened.append(begin_studies(plans, uri, tmp_path))

    workers = [threading.Thread(target=begin) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [len(storage.get_all_studies()) for storage in opened] == [1, 1]


def test_a_trial_trains_with_its_own_values_and_epochs(make_run, tmp_path):
    protocol = override(override(make_run().protocol, "tune.trials=1"), "tune.epochs=1")
    (plan,) = plan_studies([make_run("lora", protocol=protocol)], tmp_path)
    run = plan.trial_run({"method.rank": 16, "train.lr": 0.5, "train.drop_path": "0.2"})
    assert run.method == MethodSpec("lora", (("rank", "16"),))
    assert (run.own_protocol.train.lr, run.own_protocol.train.epochs) == (0.5, 1)
    assert run.own_protocol.train.drop_path == "0.2"
    assert run.protocol.train == protocol.train
