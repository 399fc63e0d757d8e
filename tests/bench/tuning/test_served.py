"""Workers on several machines share a study: its budget is met exactly, also if one is killed."""

import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from optuna.storages import InMemoryStorage

from bench.specs.protocol import Protocol, SpecError, TuneSpec
from bench.specs.run import MethodSpec, RunSpec
from bench.tuning.plan import LOCK, StudyPlan
from bench.tuning.served import hold_study, is_shared, read_address, serve_storage
from bench.tuning.space import Dimension
from bench.tuning.study import open_storage, open_study
from bench.tuning.worker import tune

N_TRIALS = 24
SPACE = (Dimension("train.lr", 1e-3, (), 1e-5, 1.0, log=True),)
EVALUATED = "evaluated.txt"  # a line for each trial that was begun
WORKER = """
import os, sys, time
from dataclasses import replace
from pathlib import Path
from bench.tuning.study import open_storage, open_study
from bench.tuning.worker import tune
from tests.bench.tuning.test_served import EVALUATED, make_plan

folder = Path(sys.argv[2])
plan = make_plan(folder)

def evaluate(trial, report):
    with (folder / EVALUATED).open("a") as stream:
        stream.write(f"{trial.number} {os.getpid()}\\n")
    time.sleep(0.15)
    report(0, (0.5,))
    return replace(trial, status="done", dice=trial.values["train.lr"], fit_s=0.15)

tune(open_study(open_storage(sys.argv[1]), plan), plan, evaluate, stays=False)
"""
ROOT = Path(__file__).resolve().parents[3]


def make_plan(folder):
    protocol = Protocol(tune=TuneSpec(trials=N_TRIALS, sampler="random"))
    run = RunSpec(MethodSpec("lora"), "brats", "abc", 0, 0, protocol, folder)
    return StudyPlan("s", run, SPACE, folder)


def start_worker(address, folder):
    command = [sys.executable, "-c", WORKER, address, str(folder)]
    with (folder / "workers.log").open("a") as log:
        return subprocess.Popen(command, cwd=ROOT, stderr=log)


def read_begun(folder):
    file = folder / EVALUATED
    lines = file.read_text().splitlines() if file.is_file() else []
    return [tuple(map(int, line.split())) for line in lines]


@pytest.fixture
def address(tmp_path):
    return serve_storage(open_storage(f"sqlite:///{tmp_path / 'optuna.db'}"), "localhost")


@pytest.mark.slow
def test_four_workers_meet_the_budget_exactly_though_one_is_killed(address, tmp_path):
    workers = [start_worker(address, tmp_path) for _ in range(4)]
    victim = workers[0]
    deadline = time.monotonic() + 60
    while victim.pid not in {pid for _, pid in read_begun(tmp_path)}:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    victim.kill()
    victim.wait()
    for worker in workers[1:]:
        assert worker.wait(60) == 0, (tmp_path / "workers.log").read_text()
    last = start_worker(address, tmp_path)  # as the command starts another in its place
    assert last.wait(60) == 0, (tmp_path / "workers.log").read_text()
    trials = open_study(open_storage(address), make_plan(tmp_path)).trials
    assert [trial.number for trial in trials] == list(range(N_TRIALS))
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    begun = Counter(number for number, _ in read_begun(tmp_path))
    twice = [number for number, count in begun.items() if count > 1]
    assert len(twice) <= 1, "only the trial of the killed worker was begun again"
    assert set(begun) == set(range(N_TRIALS))
    assert len({pid for _, pid in read_begun(tmp_path)}) >= 4


def test_an_interrupted_worker_leaves_its_trial_to_the_others_at_once(address, tmp_path):
    plan = make_plan(tmp_path)
    study = open_study(open_storage(address), plan)

    def interrupted(trial, report):
        raise SystemExit(75)

    with pytest.raises(SystemExit):
        tune(study, plan, interrupted, stays=False)
    assert study.trials[0].user_attrs["owner"] is None
    assert study.trials[0].state.name == "RUNNING"


def test_a_worker_that_does_not_stay_leaves_when_others_have_the_rest(address, tmp_path):
    plan = make_plan(tmp_path)
    study = open_study(open_storage(address), plan)
    for _ in range(N_TRIALS):
        trial = study.ask()
        trial.set_user_attr("owner", ["elsewhere", 1, 0.0])
        trial.set_user_attr("beat", time.time())
    tune(study, plan, lambda trial, report: pytest.fail("nothing is left"), stays=False)


@pytest.mark.parametrize(
    "text", ["grpc://", "grpc://host", "grpc://:1", "grpc://host:0", "grpc://host:x", "http://h:1"]
)
def test_a_bad_address_is_a_sentence(text):
    with pytest.raises(SpecError, match="must be grpc://HOST:PORT, got"):
        read_address(text)


def test_a_server_that_does_not_answer_is_a_sentence(monkeypatch):
    monkeypatch.setattr("bench.tuning.served.READY_S", 0.3)
    with pytest.raises(SpecError, match="--storage grpc://localhost:9: must be open"):
        open_storage("grpc://localhost:9")


def test_a_name_that_is_no_name_of_this_machine_is_a_sentence(tmp_path):
    storage = open_storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    with pytest.raises(SpecError, match="must be a name of this machine"):
        serve_storage(storage, "192.0.2.1")


def test_which_storages_several_machines_can_share(address, tmp_path):
    assert is_shared(open_storage(address))
    assert not is_shared(open_storage(f"sqlite:///{tmp_path / 'other.db'}"))
    assert not is_shared(InMemoryStorage())


def test_only_one_holds_a_shared_study_and_a_dead_holder_is_replaced(
    address, tmp_path, monkeypatch
):
    monkeypatch.setattr("bench.tuning.served.LEASE_S", 1.0)
    study = open_study(open_storage(address), make_plan(tmp_path))
    holder = (
        "import sys, time\n"
        "from filelock import SoftFileLease\n"
        "lease = SoftFileLease(sys.argv[1], lease_duration=1.0)\n"
        "lease.acquire()\nprint('held', flush=True)\ntime.sleep(60)\n"
    )
    file = tmp_path / LOCK
    command = [sys.executable, "-c", holder, f"{file}.lease"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        began = time.monotonic()
        threading.Timer(1.5, process.kill).start()
        with hold_study(study, file):
            waited_s = time.monotonic() - began
    assert 1.5 < waited_s < 20
