"""Runs as jobs of a real Slurm: killed at random, their scores are those of one machine."""

import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from bench.run.watch.progress import read_progress
from bench.specs.run import RUNS
from tests.bench.grid.executors.one_node import OneNode, find_obstacle

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(find_obstacle()), reason=find_obstacle())]
ROOT = Path(__file__).resolve().parents[4]
GRID = shlex.split(
    "--methods linear,lora --seeds 0-2 --preset demo --epochs 4 --set data.patches_per_epoch=16"
    " --set train.val_every=2"
)
JOBS = ["--executor", "slurm", "--slurm", "mem=1500M,time=10"]
# the command, with less patience than on a cluster
QUICK = """
import sys
from bench.cli.app import main
from bench.grid.executors.follow import Pace
Pace.__init__.__defaults__ = (0.5, 2.0, 5.0, 2.0)
sys.exit(main(sys.argv[1:]))
"""
N_CELLS = 6
SEED = 19
WRITING_S = 5.0  # that a job has for its checkpoint before it may be killed
PATIENCE_S = 600.0


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    node = OneNode(tmp_path_factory.mktemp("slurm"))
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="module")
def brats(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantoms") / "brats"
    arguments = ["data", "demo", "--dataset", "brats", "--cases", "6", "--out", str(root)]
    subprocess.run([*BENCH, *arguments], env=os.environ | PLAIN, check=True, capture_output=True)
    return root


BENCH = [sys.executable, "-c", QUICK]
PLAIN = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def run_bench(folder, *arguments, environment):
    environment = environment | PLAIN
    return subprocess.run(
        [*BENCH, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def count_resumptions(folder):
    """Return how often each run has gone on from a checkpoint."""
    files = (folder / "results" / RUNS).glob("*/result.json")
    return [json.loads(file.read_text())["interruptions"] for file in files]


def read_scores(folder):
    found = {}
    for file in sorted((folder / "results" / RUNS).glob("*/result.json")):
        record = json.loads(file.read_text())
        assert record["status"] == "done", record["reason"]
        found[record["run_id"]] = [record["cases"], record["chosen_sha256"]]
    return found


def list_tracked(folder):
    """Return the id of each run in the store that is no parent run."""
    with sqlite3.connect(folder / "mlflow.db") as store:
        rows = store.execute(
            "select tags.value from runs join tags using (run_uuid) where tags.key = 'run_id' "
            "and runs.lifecycle_stage = 'active' and runs.status = 'FINISHED'"
        ).fetchall()
    return sorted(run_id for (run_id,) in rows)


def list_jobs_of(node, folder):
    """Return the ids of all jobs that Slurm ever got for a folder."""
    names = ",".join(each.name for each in (folder / "results" / "jobs").glob("medtuning-*"))
    listed = ["--noheader", "--array", "--states=all", "--format=%F_%K", f"--name={names}"]
    return sorted(line.removesuffix("_N/A") for line in node.ask("squeue", *listed).split())


def check_ledgers(folder, disturbed):
    """Return the ids of all jobs that runs name, of which each has one and one a disturbance."""
    ids = []
    for run in (folder / "results" / RUNS).iterdir():
        job = json.loads((run / "job.json").read_text())
        own = [*job["past"], job["job_id"]]
        assert len(own) <= 1 + disturbed[run.name]
        ids += own
    return ids


def is_alive(pid):
    return Path(f"/proc/{pid}/cmdline").is_file()


@dataclass
class Killer:
    """Kills jobs, slurmd and the command, at moments of a seeded random stream.

    Each run is cut once by the signal that Slurm sends before a time limit.
    """

    node: OneNode
    folder: Path
    arguments: list[str]
    random: Random = field(default_factory=lambda: Random(SEED))
    cut: dict[str, float] = field(default_factory=dict)  # runs, and when
    disturbed: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)

    def start(self):
        environment = self.node.environment | PLAIN
        command = [*BENCH, *self.arguments]
        with (self.folder / "bench.log").open("a") as log:
            self.command = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log
            )

    def note(self, what):
        self.lines.append(f"{time.monotonic() - self.began:6.1f} s  {what}")

    def disturb(self, kills):
        """Carry out the kills, in random order, each when there is something to kill."""
        self.began = time.monotonic()
        self.start()
        todo = [kill for kill, count in kills.items() for _ in range(count)]
        self.random.shuffle(todo)
        while todo or len(self.cut) < N_CELLS:
            assert time.monotonic() - self.began < PATIENCE_S, "\n".join(self.lines)
            time.sleep(self.random.uniform(0.3, 2.0))
            if self.command.poll() is not None:
                return
            self.cut_new_jobs()
            if todo and self.node.list_running() and getattr(self, todo[-1])():
                todo.pop()

    def cut_new_jobs(self):
        for folder, sign in self.find_signs():
            stand = read_progress(folder / "attempt")
            trains = stand is not None and stand.phase == "fit"
            if trains and folder.name not in self.cut:
                self.cut[folder.name] = time.monotonic()
                self.disturbed[folder.name] += 1
                self.note(f"time limit of {folder.name}")
                signal_ = "--signal=USR2"
                self.node.ask("scancel", signal_, sign["job_id"], check=False)

    def find_signs(self):
        """Return the folders in which a job computes, with what it says of itself."""
        found = []
        for file in sorted((self.folder / "results" / RUNS).glob("*/sign.json")):
            sign = json.loads(file.read_text())
            if not sign["ended"] and (file.parent / "attempt" / "progress.json").is_file():
                found.append((file.parent, sign))
        return found

    def kill_job(self):
        now = time.monotonic()
        victims = []
        for folder, sign in self.find_signs():
            is_writing = now - self.cut.get(folder.name, -WRITING_S) < WRITING_S
            if is_alive(sign["pid"]) and not is_writing:
                victims.append((folder, sign))
        if not victims:
            return False
        folder, sign = self.random.choice(victims)
        self.disturbed[folder.name] += 1
        self.note(f"kill -9 of the job of {folder.name}")
        with suppress(ProcessLookupError):
            os.kill(sign["pid"], signal.SIGKILL)
        return True

    def kill_slurmd(self):
        self.note("kill -9 of slurmd")
        self.node.kill_slurmd()
        time.sleep(1)
        self.node.start_slurmd()
        return True

    def kill_command(self):
        self.note("kill -9 of the command")
        self.command.kill()
        self.command.wait()
        self.start()
        return True


@pytest.fixture(scope="module")
def undisturbed(brats, tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    arguments = ["run", *GRID, "--data-root", str(brats), "--jobs", "2"]
    done = run_bench(folder, *arguments, environment=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return read_scores(folder)


def test_random_kills_cost_no_run_and_change_no_score(slurm, brats, undisturbed, tmp_path):
    arguments = ["run", *GRID, "--data-root", str(brats), *JOBS]
    killer = Killer(slurm, tmp_path, arguments)
    killer.disturb({"kill_job": 8, "kill_slurmd": 3, "kill_command": 3})
    code = killer.command.wait(timeout=PATIENCE_S)
    story = "\n".join(killer.lines) + (tmp_path / "bench.log").read_text()
    assert code == 0, story
    assert len(killer.cut) == N_CELLS, story
    # a run that was cut before its first step has no checkpoint to go on from
    went_on = [count for count in count_resumptions(tmp_path) if count]
    assert len(went_on) >= 3, story
    assert read_scores(tmp_path) == undisturbed
    assert list_tracked(tmp_path) == sorted(undisturbed)
    assert list_jobs_of(slurm, tmp_path) == sorted(check_ledgers(tmp_path, killer.disturbed))
    sys.stdout.write("\n".join(killer.lines))

    again = run_bench(tmp_path, *arguments, environment=slurm.environment)
    assert again.returncode == 0
    assert "6 of 6 runs are done already" in again.stdout
    assert "0 jobs submitted, 0 adopted" in again.stdout


def test_a_partition_that_does_not_exist_is_slurms_own_sentence(slurm, tmp_path):
    arguments = ["run", "--methods", "linear", "--executor", "slurm", "--slurm", "partition=nosuch"]
    done = run_bench(tmp_path, *arguments, environment=slurm.environment)
    assert done.returncode == 2
    assert "invalid partition specified: nosuch" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_detached_jobs_are_shown_and_then_collected(slurm, brats, tmp_path):
    arguments = ["run", "--methods", "linear", "--data-root", str(brats), *GRID[4:], *JOBS]
    left = run_bench(tmp_path, *arguments, "--detach", environment=slurm.environment)
    assert left.returncode == 0, left.stderr
    assert "1 of 1 runs are left to Slurm" in left.stdout
    shown = run_bench(tmp_path, "status", environment=slurm.environment)
    states = ("queued", "running", "done")  # the job goes on while the command looks
    assert any(f"1 {state}" in shown.stdout for state in states), shown.stdout
    done = run_bench(tmp_path, *arguments, environment=slurm.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list_tracked(tmp_path)) == 1
    job = json.loads(next((tmp_path / "results" / RUNS).glob("*/job.json")).read_text())
    assert job["past"] == []


def test_workers_of_slurm_share_studies_and_meet_the_budget_though_one_is_killed(
    slurm, brats, tmp_path
):
    search = ["--methods", "linear,lora", "--only", "train.decoder_lr", "--trials", "2"]
    arguments = ["tune", *search, "--trial-epochs", "1", *GRID[4:], "--data-root", str(brats)]
    shared = ["--workers", "2", "--storage", "serve"]
    killer = Killer(slurm, tmp_path, [*arguments, *JOBS, *shared])
    killer.start()
    folder = tmp_path / "results" / "tuning" / "workers" / "0"
    wait_until(lambda: (folder / "sign.json").is_file(), killer)
    os.kill(json.loads((folder / "sign.json").read_text())["pid"], signal.SIGKILL)
    code = killer.command.wait(timeout=PATIENCE_S)
    printed = (tmp_path / "bench.log").read_text()
    assert code == 0, printed
    for file in (tmp_path / "results" / "tuning").glob("*/study.json"):
        trials = json.loads(file.read_text())["trials"]
        assert [trial["number"] for trial in trials] == [0, 1]
        assert {trial["status"] for trial in trials} <= {"done", "pruned"}
    ended = [line for line in printed.splitlines() if line.startswith("done ")]
    assert sum("trial 2/2" in line for line in ended) == 2
    assert slurm.ask("squeue", "--noheader") == ""


def wait_until(condition, killer):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        assert killer.command.poll() is None, (killer.folder / "bench.log").read_text()
        time.sleep(0.2)
