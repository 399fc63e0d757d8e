"""Studies whose trials are formulas instead of networks."""

import pytest
from optuna.storages import InMemoryStorage

from bench.specs.protocol import Protocol, TrainSpec, TuneSpec
from bench.specs.run import MethodSpec, RunSpec
from bench.tuning.plan import StudyPlan
from bench.tuning.study import open_study
from bench.tuning.worker import tune
from tests.bench.tuning.formulas import SPACE, bowl


@pytest.fixture
def make_plan(tmp_path):
    """Return a function that makes the plan of a study in a folder of this test."""

    def make(n_trials=8, name="s", space=SPACE, lr=1e-3, **tune_fields):
        protocol = Protocol(train=TrainSpec(lr=lr), tune=TuneSpec(trials=n_trials, **tune_fields))
        run = RunSpec(MethodSpec("lora"), "brats", "abc", 0, 0, protocol, tmp_path)
        return StudyPlan(name, run, space, tmp_path)

    return make


@pytest.fixture
def work():
    """Return a function that works on the study in a storage of this test."""
    storage = InMemoryStorage()

    def run(plan, evaluate=bowl, **options):
        study = open_study(storage, plan)
        tune(study, plan, evaluate, **options)
        return study

    return run
