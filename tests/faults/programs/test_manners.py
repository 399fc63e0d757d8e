"""Secrets stay secret, devices stay devices, and a slip of the keyboard fills no memory."""

import json
import os
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from bench.cli.app import main
from bench.cli.display.words import describe_result
from bench.cli.options import TuneRequest
from bench.grid.cells import parse_methods, parse_numbers
from bench.specs.protocol import SpecError
from bench.tuning.study import open_storage
from reports.formats.terminal import SafeConsole
from tests.faults.values.hostile_names import make_result

SECRET = "s3cret"


def test_a_server_that_is_away_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:{SECRET}@127.0.0.1:9")
    make_result(0, "lora").write(tmp_path / "runs" / "0")
    for command in (["sync", "--out", str(tmp_path)], ["report"], ["ui"]):
        assert main(command) == 2
        captured = capfd.readouterr()
        assert "http://user:***@127.0.0.1:9" in captured.err
        assert SECRET not in captured.out + captured.err


def test_a_storage_is_named_without_its_password() -> None:
    with pytest.raises(SpecError) as error:
        open_storage(f"postgresql://user:{SECRET}@127.0.0.1:9/db")
    assert SECRET not in str(error.value)


@pytest.mark.slow
def test_the_record_of_a_command_has_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:{SECRET}@127.0.0.1:9")
    # an option for any text, which no run takes
    monkeypatch.setattr(TuneRequest, "check_used", lambda *_, **__: None)
    command = ["run", "--methods", "linear", "--epochs", "1", "--max-steps", "1"]
    assert main([*command, "--storage", f"mysql://user:{SECRET}@host/db"]) == 0
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()
    captured = capfd.readouterr()
    assert SECRET not in captured.out + captured.err
    (record,) = (tmp_path / "results" / "commands").glob("*.json")
    assert "mysql://user:***@host/db" in json.loads(record.read_bytes())["command"]
    modes = {file.stat().st_mode for file in (tmp_path / "results" / "runs").rglob("*.*")}
    assert len(modes) == 1  # the delta's too


@pytest.mark.parametrize("target", ["/dev/null", "pipe"])
def test_reports_replace_no_device(
    target: str, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    for options in ([], ["--figures"]):
        assert main(["report", "--out", target, *options]) == 2
        assert "report: --" in capsys.readouterr().err
    assert not Path(target).is_file()
    assert Path(target).exists()


@pytest.mark.parametrize("text", ["0-9999999999", "0-999999999999999999", "9" * 5000, "5-2"])
def test_too_many_numbers_are_refused_at_once(text: str) -> None:
    with pytest.raises(SpecError, match=r"^--seeds: must .*got"):
        parse_numbers(text, "--seeds")
    if text != "5-2":
        with pytest.raises(SpecError, match=r"^--folds: must"):
            parse_numbers("all", "--folds", upper=10**12)


def test_too_many_settings_are_refused_at_once() -> None:
    many = ",".join(map(str, range(100)))
    with pytest.raises(SpecError, match=r"at most 1,000 settings"):
        parse_methods(f"lora[rank={many},alpha={many},dropout={many}]")


def test_a_long_reason_is_shown_in_short() -> None:
    failed = replace(make_result(0, "lora"), status="failed", reason="x" * 20_000, cost=None)
    started = time.perf_counter()
    stream = StringIO()
    SafeConsole(file=stream).print(describe_result(failed))
    assert time.perf_counter() - started < 0.5
    assert "20,000 letters" in " ".join(stream.getvalue().split())
