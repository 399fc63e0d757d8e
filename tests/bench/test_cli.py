"""Bad input: one sentence, exit code 2, at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "--methods", "lroa"], "unknown method 'lroa' (did you mean 'lora'?)"),
        (["run", "--methods", "lora[rnk=4]"], "lora: unknown setting 'rnk' (did you mean 'rank'?)"),
        (["run", "--methods", "lora[rank=0]"], "lora: rank must be >= 1, got 0"),
        (["run", "--methods", "linear", "--datasets", "brat"], "unknown data set 'brat' (did you mean 'brats'?)"),
        (["run", "--preset", "dmo"], "unknown preset 'dmo' (did you mean 'demo'?)"),
        (["run", "--preset", "paper"], "preset 'paper' needs your own data: give --data-root"),
        (["run", "--set", "train.lt=1"], "--set: unknown setting 'train.lt' (did you mean 'train.lr'?)"),
        (["run", "--backbone", "tiny_vti"], "unknown backbone 'tiny_vti' (did you mean 'tiny_vit'?)"),
        (["run", "--folds", "5"], "--folds: must be below 5, got '5'"),
        (["run", "--device", "cuda:99"], "--device: 'cuda:99' is not on this machine"),
        (["plan", "--preset", "demo", "--data-root", "/no/such/folder"], "/no/such/folder"),
        (["plan", "--preset", "demo", "--data-root", "."], "BraTS"),
        (["data", "demo", "--dataset", "ktis", "--out", "x"], "unknown data set 'ktis' (did you mean 'kits'?)"),
        (["report"], "report: the tracking store holds no result yet"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert printed.err.startswith("error: ")
    assert len(printed.err.strip().splitlines()) == 1
    assert "Traceback" not in printed.err
    assert {file.name for file in tmp_path.iterdir()} <= {"mlflow.db", "mlruns"}


def test_an_unknown_option_exits_2(capsys):
    assert main(["run", "--metods", "all"]) == 2
    assert "No such option" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["run"], ["plan"], ["report"], ["list"], ["ui"], ["data"], ["data", "demo"]])
def test_every_command_explains_itself(command, capsys):
    assert main([*command, "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("methods", ["lora", "rank", "Hu et al", "qkv"]),
        ("datasets", ["brats", "t1ce", "WT", "lits"]),
        ("backbones", ["tiny_vit"]),
    ],
)
def test_list_shows_the_registries(what, words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["list", what]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in words)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--methods", "lroa"]])
def test_nothing_heavy_is_imported_to_parse(arguments):
    """The heavy libraries stay out; that, not a stopwatch, is what keeps the promise of a quick start."""
    code = f"""
import sys
from bench.cli import main
main({arguments!r})
sys.exit(", ".join(sorted({{"torch", "monai", "timm", "mlflow", "pandas", "matplotlib"}} & set(sys.modules))) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr.splitlines()[-1]


def test_another_distributions_datasets_is_named(tmp_path):
    impostor = tmp_path / "datasets"
    impostor.mkdir()
    (impostor / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: start-up: the package 'datasets' comes from {impostor / '__init__.py'}")
    assert f"run `python -m bench` from {ROOT}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_corrupt_case_is_named_before_anything_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "demo", "--out", "brats", "--cases", "5"]) == 0
    broken = sorted(Path("brats").rglob("*_t2.nii.gz"))[2]
    broken.write_bytes(broken.read_bytes()[:-1000])
    capsys.readouterr()
    assert main(["run", "--methods", "linear", "--preset", "demo", "--data-root", "brats"]) == 2
    printed = capsys.readouterr()
    assert f"error: {broken}: " in printed.err
    assert broken.name in printed.err
    assert not Path("results", "runs").exists()
