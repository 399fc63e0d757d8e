"""`plan` takes what `run` takes, writes nothing but its cache, and prices a grid."""

import re

import pytest

from bench.cli.app import main

TINY = [
    *("--methods", "linear,lora", "--weights", "none", "--jobs", "2", "--epochs", "1"),
    *("--set", "data.patch=4,32,32", "--device", "cpu"),
]


def list_outside_cache(out):
    files = (file.relative_to(out) for file in out.rglob("*") if file.is_file())
    return [file for file in files if file.parts[0] != "cache"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--largest-patch", "24"], "--largest-patch: must be a size such as 24GB"),
        (["--largest-patch", "0GB"], "--largest-patch: must be a size such as 24GB"),
        (["--executor", "pbs"], "--executor: must be local or slurm, got 'pbs'"),
        (["--tune", "2", "--tuned"], "--tune, --tuned and --settings exclude each other"),
        (["--verbose", "--quiet"], "--verbose: excludes --quiet"),
        (["--executor", "slurm"], "--jobs: is for --executor local, got 2"),
        (["--max-jobs", "2"], "--max-jobs: is for --executor slurm, got --executor local"),
    ],
)
def test_bad_input_is_a_sentence(arguments, sentence, tmp_path, capsys):
    assert main(["plan", *TINY, "--out", str(tmp_path / "res"), *arguments]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_a_plan_writes_its_cache_alone_and_probes_once(tmp_path, capsys):
    out = tmp_path / "res"
    arguments = ["plan", *TINY, "--out", str(out), "--seeds", "0,1"]
    assert main(arguments) == 0
    assert "4 runs" in capsys.readouterr().out
    assert list_outside_cache(out) == []
    assert main([*arguments, "--cost", "--tune", "3"]) == 0
    told = capsys.readouterr().out
    assert list_outside_cache(out) == []
    assert len(list(out.glob("cache/probes/*/runs/*/result.json"))) == 2
    assert re.search(r"^device-hours: \d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\)", told, re.M)
    assert re.search(r"^wall-clock: +\d:\d\d:\d\d \(.*\), 2 at once$", told, re.M)
    assert len(re.findall(r"^before: .*: 3 trials, at most \d:\d\d:\d\d$", told, re.M)) == 2
    probes = {file: file.stat().st_mtime_ns for file in out.glob("cache/probes/*/runs/*/*.json")}
    arguments.remove("--jobs")
    arguments.remove("2")
    assert main([*arguments, "--cost", "--executor", "slurm", "--max-jobs", "4"]) == 0
    assert "4 at once" in capsys.readouterr().out
    again = [file for file in out.glob("cache/probes/*/runs/*/*.json") if file in probes]
    assert {file: file.stat().st_mtime_ns for file in again} == probes


@pytest.mark.slow
def test_what_is_done_prices_what_is_left(tmp_path, monkeypatch, new_store, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path / "store"))
    out = str(tmp_path / "res")
    assert main(["run", *TINY, "--methods", "lora", "--out", out, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["plan", *TINY, "--methods", "lora", "--out", out, "--seeds", "0,1", "--cost"]) == 0
    told = capsys.readouterr().out
    assert "1 runs to do" in told
    assert "runs" in told.split("known")[1]
    assert not (tmp_path / "res" / "cache" / "probes").exists() or not list(
        (tmp_path / "res" / "cache" / "probes").glob("*/runs/*")
    )


@pytest.mark.slow
def test_the_largest_patch_is_told_for_each_method(tmp_path, capsys):
    out = str(tmp_path / "res")
    assert main(["plan", *TINY, "--out", out, "--largest-patch", "300MB"]) == 0
    told = capsys.readouterr().out
    assert "largest training steps in 0.3 GiB" in told
    assert len(re.findall(r"\d+x\d+x\d+", told)) == 4
