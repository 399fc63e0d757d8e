"""Options that all commands share: help, version, panels, other spellings, what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.cli.app import COMMANDS, load_command, main
from bench.cli.options import PANEL_OF, PANELS

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize("words", [["-h"], ["run", "-h"], ["data", "demo", "-h"], ["list", "-h"]])
def test_h_is_help(words, capsys):
    assert main(words) == 0
    assert "Usage" in capsys.readouterr().out


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"medtuning-bench {bench.__version__}\n"


@pytest.mark.parametrize("command", ["run", "plan", "tune"])
def test_every_option_of_a_grid_is_in_a_panel(command):
    options = [each.name for each in load_command(command).params]
    assert [name for name in options if name not in PANEL_OF] == []


def test_panels_are_in_the_help(capsys):
    assert main(["run", "--help"]) == 0
    printed = capsys.readouterr().out
    assert [name for name in PANELS if name not in printed] == []


def test_both_spellings_are_understood_and_one_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "demo", "--datasets", "kits19", "--cases", "1", "--output", "a"]) == 0
    assert (tmp_path / "a").is_dir()
    assert main(["data", "check", "--dataset", "kits", "--data-root", "a"]) == 0
    assert main(["run", "--dataset", "brat", "--output", "b"]) == 2
    assert "unknown data set 'brat'" in capsys.readouterr().err
    assert main(["run", "--help"]) == 0
    printed = capsys.readouterr().out
    assert "--dataset " not in printed
    assert "--output" not in printed


def test_predict_keeps_its_two_options_apart(capsys):
    given = ["--run", "none", "--input", "x", "--output", "y.nii.gz", "--out", "nowhere"]
    assert main(["predict", *given]) == 2
    assert "0 of them are in nowhere/runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "--metods", "x"], "run: No such option: --metods"),
        (["lst"], "No such command 'lst'. Did you mean 'list'?"),
        (["data", "dmo"], "data: No such command 'dmo'. Did you mean 'demo'?"),
        (["compare", "a"], "compare: Missing argument 'run_b'"),
        (["run", "--jobs", "0"], "run: Invalid value for '--jobs'"),
        (["run", "--epochs", "two"], "run: Invalid value for '--epochs'"),
        (["list", "models"], "list: Invalid value for 'registry': 'models' is not one of"),
    ],
)
def test_what_is_wrong_with_options_is_one_sentence(words, sentence, capsys):
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {sentence}")
    assert len(printed.err.splitlines()) == 1
    assert printed.err.rstrip().endswith("--help`)")
    assert printed.out == ""


@pytest.mark.parametrize("words", [[], ["data"]])
def test_a_command_without_anything_is_explained(words, capsys):
    assert main(words) == 2
    printed = capsys.readouterr()
    assert "Usage" in printed.out + printed.err
    assert "error" not in printed.err


def test_a_reader_that_stops_early_is_no_error():
    command = f"{sys.executable} -m bench list settings | head -1"
    done = subprocess.run(
        command, shell=True, cwd=ROOT, env=os.environ, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert set(COMMANDS) >= {"run", "list"}
