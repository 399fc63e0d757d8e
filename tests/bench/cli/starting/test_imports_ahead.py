"""Runs import their libraries while data are written or read; bad input starts nothing."""

from pathlib import Path

import pytest

from bench.cli import run, tune
from bench.cli.app import main
from bench.cli.jobs import executor


@pytest.mark.parametrize(("command", "module"), [("run", run), ("tune", tune)])
def test_imports_begin_before_the_data_are_touched(
    command: str, module: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def touch_data(*_: object) -> None:
        order.append("data")
        raise ValueError("the test ends here")

    monkeypatch.setattr(executor, "start_server", lambda: order.append("imports"))
    monkeypatch.setattr(module, "lay_out_runs", touch_data)
    assert main([command, "--methods", "linear", "--out", str(tmp_path)]) == 2
    assert order == ["imports", "data"]


def test_bad_input_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError

    monkeypatch.setattr(executor, "start_server", refuse)
    assert main(["run", "--methods", "lroa", "--out", str(tmp_path)]) == 2
