"""What reports print of runs that the program itself made: tuned and not, under other protocols."""

import shlex
import sqlite3
from pathlib import Path

import pytest

from datasets.phantoms.write import write_phantoms
from reports.records.run import RunResult, read_result
from tests.in_process import carry_out

pytestmark = pytest.mark.slow

SHORT = shlex.split(
    "--preset demo --epochs 1 --max-steps 1 --jobs 2 "
    "--set data.patches_per_epoch=1 --set train.val_every=1"
)
LINEAR = ["--methods", "linear", "--datasets", "brats", *SHORT]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with default and tuned runs of two folds, and one from random weights."""
    folder = tmp_path_factory.mktemp("captions")
    write_phantoms("brats", folder / "brats", 10, shape=(16, 64, 64))
    root = ["--data-root", str(folder / "brats")]
    both = [*LINEAR, *root, "--folds", "0,1"]
    bench(folder, "tune", *both, "--trials", "2", "--sampler", "random")
    bench(folder, "run", *both)
    bench(folder, "run", *both, "--tuned")
    bench(folder, "run", *LINEAR, *root, "--weights", "none", "--set", "train.lr=0.02")
    return folder


def bench(folder: Path, *arguments: str) -> str:
    """Carry out a command that must end with 0; return what it printed."""
    done = carry_out(folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def report(folder: Path, *arguments: str) -> str:
    return bench(folder, "report", "--format", "markdown", *arguments).replace("\\", "")


def read_runs(folder: Path) -> list[RunResult]:
    found = [read_result(path) for path in sorted((folder / "results/runs").iterdir())]
    return [result for result in found if result is not None]


def count_cases(runs: list[RunResult]) -> int:
    return len({row.case for run in runs for row in run.cases})


def test_the_gap_is_made_from_default_and_tuned_runs(folder):
    printed = report(folder, "--kind", "gap")
    (row,) = [line for line in printed.splitlines() if line.startswith("| Linear probing")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == "Linear probing ‡"
    tuned = [run for run in read_runs(folder) if run.study]
    assert cells[2] == str(count_cases(tuned)), "the cases of both folds"
    assert cells[-1].startswith("brats2020-linear-tiny_vit-f0#")
    for words in (
        "tuned 2 trials: settings tuned with 2 trials a method",
        "on inner validation cases of fold 0",
        "‡: settings chosen on fold 0, whose training part has the held-out cases of fold 1.",
        "which differ in tune alone.",
    ):
        assert words in printed


def test_default_and_tuned_runs_have_tables_of_their_own(folder):
    default, tuned, *_ = report(folder).split("<!-- runs:")
    assert "Not tuned: default settings." in default
    assert "‡" not in default
    assert "Settings tuned with 2 trials a method" in tuned
    assert "| Linear probing ‡ |" in tuned
    assert "favours a method that sees more than one slice at once" in default


def test_a_sweep_over_weights_names_or_refuses_other_differences(folder):
    refused = carry_out(folder, "report", "--kind", "pretraining", "--format", "markdown")
    assert refused.returncode == 2
    sentence = " ".join(refused.stderr.split())
    assert "must differ in model.weights alone, got train.lr (" in sentence
    printed = report(folder, "--kind", "pretraining", "--allow-mixed")
    assert "which DIFFER in train.lr (" in printed
    assert "random initialisation: 0.02" in printed
    count = count_cases([run for run in read_runs(folder) if run.weights == "none"])
    assert f"random initialisation: {count} held-out cases, fold 0, seed 0" in printed
    assert "differ in this alone" not in printed.lower()


def test_runs_record_what_captions_are_made_from(folder):
    runs = read_runs(folder)
    assert len(runs) == 5
    tuned = [run for run in runs if run.study]
    assert {(run.fold, run.study_fold) for run in tuned} == {(0, 0), (1, 0)}
    assert {run.study_fold for run in runs if not run.study} == {None}
    for run in runs:
        assert run.provenance["threads"] == run.protocol["train"]["threads"] == 1
        assert run.provenance["precision"] == "32-true"
        assert run.cost.params_trained_frac < 1
        assert run.cost.compute.volume_gflop >= run.cost.compute.forward_gflop
    with sqlite3.connect(folder / "mlflow.db") as store:
        keys = {key for (key,) in store.execute("select distinct key from metrics")}
    assert {"compute/volume_gflop", "params/tuned_with_decoder", "params/total"} <= keys
    assert not [key for key in keys if "gmac" in key]
