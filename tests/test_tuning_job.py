"""Tuning from the command line, on small phantoms: killed, shared by two, tuned and run."""

import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from datasets.brats import Brats
from datasets.phantoms.write import write_phantoms
from datasets.splits.rule import split_cases
from tests.in_process import carry_out

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
SHORT = shlex.split(
    "--preset demo --epochs 2 --set data.patches_per_epoch=2 --set train.val_every=1"
)
SETTINGS = ["--methods", "lora", "--jobs", "2", *SHORT]  # one slot a study, one thread a slot


@pytest.fixture(scope="module")
def brats(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("phantoms") / "brats"
    write_phantoms("brats", root, 10, shape=(16, 64, 64))
    return root


@pytest.fixture(scope="module")
def sealed(brats, tmp_path_factory) -> Path:
    """The same root, but no file of a held-out case (of fold 0) can be read."""
    root = tmp_path_factory.mktemp("sealed") / "brats"
    shutil.copytree(brats, root)
    cases = Brats(root).find_labelled()
    held_out = set(split_cases(cases, 0).test)
    assert len(held_out) == 2
    for case in cases:
        if case.id in held_out:
            for file in (*case.images.values(), case.label):
                file.write_bytes(b"the held-out cases are not to be read")
    return root


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def bench(folder: Path, *arguments: str) -> str:
    """Carry out a command that must end with 0; return what it printed."""
    folder.mkdir(exist_ok=True)
    done = carry_out(folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trials_of(folder: Path) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/results/tuning/optuna.db")
    (study,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=study, storage=storage).trials


def wait_for_ended(folder: Path, count: int, timeout_s: float = 300) -> None:
    """Return as soon as so many trials have ended and another one is under way."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if (folder / "results/tuning/optuna.db").is_file():
            with sqlite3.connect(
                f"file:{folder}/results/tuning/optuna.db?mode=ro", uri=True, timeout=10
            ) as storage:
                tables = storage.execute(
                    "select count(*) from sqlite_master where name = 'trials'"
                ).fetchone()
                states = storage.execute("select state from trials").fetchall() if tables[0] else []
            if len(states) > count and states.count(("RUNNING",)) == len(states) - count:
                return
        time.sleep(0.02)
    raise AssertionError(f"{count} trials have not ended in time")


def tracked(folder: Path) -> list[tuple[str, str]]:
    """Return (experiment, run) of everything that MLflow has."""
    with sqlite3.connect(folder / "mlflow.db") as store:
        return store.execute(
            "select experiments.name, runs.name from runs join experiments using (experiment_id) "
            "where runs.lifecycle_stage = 'active' order by runs.name"
        ).fetchall()


def test_a_killed_study_goes_on_to_the_same_trials_and_reads_no_held_out_case(sealed, tmp_path):
    arguments = ["tune", *SETTINGS, "--trials", "5", "--pruner", "none", "--data-root", str(sealed)]
    calm, stormy = tmp_path / "calm", tmp_path / "stormy"
    printed = bench(calm, *arguments)
    assert "Inner Dice" in printed

    worker = start(stormy, *arguments)
    wait_for_ended(stormy, 2)
    worker.kill()  # SIGKILL: no chance to tidy up
    worker.communicate()
    assert len([trial for trial in trials_of(stormy) if trial.state.is_finished()]) == 2
    bench(stormy, *arguments)

    undisturbed, resumed = trials_of(calm), trials_of(stormy)
    assert [trial.state.name for trial in resumed] == ["COMPLETE"] * 5, "the budget, exactly"
    assert [trial.params for trial in resumed] == [trial.params for trial in undisturbed]
    assert [trial.values for trial in resumed] == [trial.values for trial in undisturbed]
    assert len({json.dumps(trial.params) for trial in resumed}) == 5, "no trial is run twice"
    names = [name for _, name in tracked(stormy)]
    study = "LoRA, BraTS 2020, fold 0, Tiny ViT/8, formula images"
    assert names == [study, *(f"trial {number}" for number in range(5))]


def test_two_workers_share_a_study_and_log_it_once(brats, tmp_path):
    arguments = ["tune", *SETTINGS, "--trials", "6", "--pruner", "none", "--data-root", str(brats)]
    workers = [start(tmp_path, *arguments) for _ in range(2)]
    printed = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], printed
    trials = trials_of(tmp_path)
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 6
    owners = {tuple(trial.user_attrs["owner"]) for trial in trials}
    assert len(owners) == 2, "each worker did its share"
    lines = [
        line
        for text in printed
        for line in text.splitlines()
        if "trial " in line and "inner Dice" in line
    ]
    assert len(lines) == 6, "no trial was carried out twice"
    assert len(tracked(tmp_path)) == 1 + 6


def test_run_tunes_and_runs_with_the_best(brats, tmp_path):
    arguments = ["--methods", "linear,lora", *SHORT, "--data-root", str(brats)]
    printed = bench(tmp_path, "run", *arguments, "--tune", "2")
    assert "default" in printed
    assert "tuned" in printed
    found = tracked(tmp_path)
    assert len([name for place, name in found if name.startswith("trial ")]) == 4
    assert len([name for place, name in found if place == "brats2020" and "fold 0" in name]) == 2
    results = [
        json.loads(file.read_text()) for file in (tmp_path / "results/runs").glob("*/result.json")
    ]
    assert {run["study"].partition("#")[0] for run in results} == {
        f"brats2020-{m}-tiny_vit-f0" for m in ("linear", "lora")
    }
    assert {run["status"] for run in results} == {"done"}

    again = bench(tmp_path, "run", *arguments, "--tuned")
    assert "2 of 2 runs are done already" in again, "the same study gives the same runs"
    assert "Inner Dice" in bench(tmp_path, "report", "--kind", "tuning", "--format", "markdown")

    wider = ["--trials", "2", "--search", "lora.rank=2..64"]
    refused = carry_out(tmp_path, "tune", *arguments, *wider)
    assert "study brats2020-lora-tiny_vit-f0: space." in refused.stderr
    assert refused.returncode == 2
