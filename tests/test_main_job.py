"""The main job from the command line, on small phantoms: done, repeated, killed, failing."""

import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

import methods
from datasets.phantoms.write import write_phantoms
from tests.in_process import carry_out

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
LOG = "bench.log"
SHORT = shlex.split(
    "--preset demo --epochs 2 --set data.patches_per_epoch=4 --set train.val_every=1"
)


def bench(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=folder, env=env(**environment), capture_output=True, text=True
    )


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bench", *arguments]


def env(**changes: str) -> dict[str, str]:
    return (
        os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"} | changes
    )


@pytest.fixture(scope="module")
def brats(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("phantoms") / "brats"
    arguments = ["data", "demo", "--dataset", "brats", "--cases", "10", "--out", str(root)]
    done = carry_out(root.parent, *arguments)
    assert done.returncode == 0, done.stderr
    return root


def dice_by_run(folder: Path) -> dict[str, list[tuple[str, str, float]]]:
    found = {}
    for run in read_results(folder):
        found[run["label"]] = [(row["case"], row["region"], row["dice"]) for row in run["cases"]]
    return found


def tracked_runs(folder: Path, *, parents: bool = False) -> list[str]:
    """Return the status of each run in the store, or of the commands' parent runs."""
    children = "select run_uuid from tags where key = 'mlflow.parentRunId'"
    which = f"run_uuid {'not in' if parents else 'in'} ({children})"
    with sqlite3.connect(folder / "mlflow.db") as store:
        rows = store.execute(
            f"select status from runs where lifecycle_stage = 'active' and {which}"
        ).fetchall()
    return [status for (status,) in rows]


@dataclass(frozen=True)
class Grid:
    """A finished grid of all methods, and the arguments that made it."""

    folder: Path
    arguments: list[str]
    printed: str


@pytest.fixture(scope="module")
def grid(brats, tmp_path_factory) -> Grid:
    folder = tmp_path_factory.mktemp("grid")
    arguments = ["run", "--methods", "paper", "--data-root", str(brats), "--jobs", "2", *SHORT]
    done = bench(folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return Grid(folder, arguments, done.stdout)


def test_all_methods_are_trained_tracked_printed_and_not_repeated(grid):
    n_methods = len(methods.PAPER)
    assert set(dice_by_run(grid.folder)) == set(methods.PAPER)
    assert all(name in grid.printed for name in methods.PAPER)
    assert "SYNTHETIC" in grid.printed
    ended = rf"time: .* from the command to its table, {n_methods} runs carried out"
    assert re.search(ended, grid.printed)
    assert tracked_runs(grid.folder) == ["FINISHED"] * n_methods
    assert tracked_runs(grid.folder, parents=True) == ["FINISHED"]

    again = bench(grid.folder, *grid.arguments)
    assert again.returncode == 0
    assert f"{n_methods} of {n_methods} runs are done already" in again.stdout
    ended = r"time: +0 min \d+ s from the command to its table, 0 runs carried out"
    assert re.search(ended, again.stdout)
    assert len(tracked_runs(grid.folder)) == n_methods

    for form, mark in [("markdown", "| LoRA"), ("latex", r"\toprule"), ("terminal", "LoRA")]:
        printed = carry_out(grid.folder, "report", "--format", form)
        assert printed.returncode == 0, printed.stderr
        assert mark in printed.stdout
        assert "synthetic" in printed.stdout.lower()


def test_a_killed_grid_goes_on_to_the_same_numbers(grid, brats, tmp_path):
    chosen = ["linear", "vpt_deep", "lora", "adaptformer"]
    arguments = ["run", "--methods", ",".join(chosen), "--data-root", str(brats), "--jobs", "2"]
    arguments += SHORT
    parent = start_and_wait_for_runs(tmp_path, arguments)
    parent.kill()  # SIGKILL: no chance to tidy up
    parent.wait()
    wait_until(lambda: not descendants(tmp_path), "the children of a killed parent are still there")

    parent = start_and_wait_for_runs(tmp_path, arguments)
    victim = descendants(tmp_path)[0]
    os.kill(victim, signal.SIGKILL)
    assert parent.wait(timeout=300) == 1
    failed = [run["reason"] for run in read_results(tmp_path) if run["status"] == "failed"]
    assert failed == ["the run's process was killed by SIGKILL (out of memory?)"]

    assert bench(tmp_path, *arguments).returncode == 0
    undisturbed = dice_by_run(grid.folder)
    assert dice_by_run(tmp_path) == {name: undisturbed[name] for name in chosen}
    assert tracked_runs(tmp_path) == ["FINISHED"] * len(chosen)
    assert tracked_runs(tmp_path, parents=True) == ["FINISHED"]


def test_ctrl_c_ends_tidily_and_says_how_to_go_on(brats, tmp_path):
    arguments = ["run", "--methods", "linear,lora", "--data-root", str(brats), *SHORT]
    parent = start_and_wait_for_runs(tmp_path, arguments)
    parent.send_signal(signal.SIGINT)
    assert parent.wait(timeout=60) == 130
    output = (tmp_path / LOG).read_text()
    assert "interrupted: 0 of 2 runs have ended" in output
    assert "Traceback" not in output
    wait_until(lambda: not descendants(tmp_path), "processes are left behind")


FAULTY = """
from dataclasses import dataclass, replace

from torch import nn

from methods import surgery
from methods.base import find_sites
from methods.reference.linear import Linear
from methods.sites import Role


class Fault(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        raise RuntimeError("a planted fault")


@dataclass(frozen=True)
class Faulty(Linear):
    info = replace(Linear.info, name="faulty", roles=(Role.BLOCK,))

    def inject(self, backbone):
        surgery.wrap(find_sites(backbone, Role.BLOCK)[0], Fault)
"""


def test_one_failing_run_does_not_stop_the_grid(brats, tmp_path):
    (tmp_path / "own.py").write_text(FAULTY)
    arguments = ["--methods", "own:Faulty,linear", "--data-root", str(brats), *SHORT]
    done = bench(tmp_path, "run", *arguments)
    assert done.returncode == 1
    results = {run["label"]: run for run in read_results(tmp_path)}
    assert results["linear"]["status"] == "done"
    assert results["faulty"]["status"] == "failed"
    assert results["faulty"]["reason"] == "RuntimeError: a planted fault"
    assert "Traceback" in results["faulty"]["traceback"]
    assert "failed" in done.stdout


def test_an_unreachable_tracking_server_costs_no_result(brats, tmp_path):
    arguments = ["--methods", "linear", "--data-root", str(brats), *SHORT]
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = bench(tmp_path, "run", *arguments, **away)
    assert done.returncode == 0, done.stderr
    assert "tracking" in done.stdout
    assert [run["status"] for run in read_results(tmp_path)] == ["done"]
    assert carry_out(tmp_path, "run", *arguments).returncode == 0  # the server is back
    assert tracked_runs(tmp_path) == ["FINISHED"]


def test_three_data_sets_in_one_grid(tmp_path):
    roots = []
    for name in ("brats", "kits", "lits"):
        write_phantoms(name, tmp_path / name, 6, shape=(16, 32, 32))
        roots += ["--data-root", f"{name}={tmp_path / name}"]
    sizes = ["--max-steps", "1", "--set", "data.patch=16,32,32"]
    arguments = ["--methods", "paper", "--datasets", "brats,kits,lits", *roots, *SHORT, *sizes]
    done = carry_out(tmp_path, "run", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(tracked_runs(tmp_path)) == 3 * len(methods.PAPER)
    assert {run["dataset"] for run in read_results(tmp_path)} == {"brats2020", "kits19", "lits17"}


def test_two_releases_of_a_data_set_side_by_side(tmp_path):
    roots = []
    for name in ("brats2019", "brats2020"):
        write_phantoms(name, tmp_path / name, 6, shape=(16, 32, 32))
        roots += ["--data-root", f"{name}={tmp_path / name}"]
    sizes = ["--epochs", "1", "--max-steps", "1", "--set", "data.patch=16,32,32"]
    arguments = ["--methods", "paper", "--datasets", "brats2019,brats2020", *roots, *sizes]
    done = carry_out(tmp_path, "run", "--preset", "demo", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    names = {run["dataset"]: run["release"]["title"] for run in read_results(tmp_path)}
    assert names == {"brats2019": "BraTS 2019", "brats2020": "BraTS 2020"}
    assert {path.name for path in (tmp_path / "mlruns").glob("[!.]*")} == set(names)
    assert {path.name for path in (tmp_path / "results" / "cache").iterdir()} == set(names)
    table = carry_out(tmp_path, "report", "--format", "latex").stdout
    assert "too wide for article, so split by data set" in table
    assert table.count(r"\bottomrule") == 2
    for heading in ("BraTS 2019 (n = 2)", "BraTS 2020 (n = 2)"):
        assert rf"\multicolumn{{5}}{{c}}{{{heading}}}" in table
    assert "not independent of each other: BraTS 2019 is contained in BraTS 2020." in table
    if shutil.which("pdflatex"):
        packages = r"\usepackage{booktabs,siunitx,graphicx,rotating}"
        paper = rf"\documentclass{{article}}{packages}\begin{{document}}{table}\end{{document}}"
        (tmp_path / "paper.tex").write_text(paper)
        latex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
        subprocess.run(latex, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)


def read_results(folder: Path) -> list[dict]:
    return [
        json.loads(file.read_text())
        for file in sorted((folder / "results" / "runs").glob("*/result.json"))
    ]


def start_and_wait_for_runs(folder: Path, arguments: list[str]) -> subprocess.Popen[str]:
    """Start a grid and return once two runs are under way."""
    with (folder / LOG).open("w") as log:
        # a shell lets what it starts in the background ignore Ctrl-C, and these tests with it
        heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        parent = subprocess.Popen(
            command(*arguments), cwd=folder, env=env(), stdout=log, stderr=log, preexec_fn=heed
        )
    wait_until(lambda: len(descendants(folder)) >= 2, "no run has started")
    return parent


def descendants(folder: Path) -> list[int]:
    """Return the processes that work in a folder and are run children, newest last."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder and "forkserver" in (
                process / "cmdline"
            ).read_text():
                found.append(int(process.name))
        except OSError:
            continue  # it has ended meanwhile, or belongs to somebody else
    servers = {parent_of(pid) for pid in found}
    return sorted(pid for pid in found if pid not in servers)


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def wait_until(holds, complaint: str, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.05)
