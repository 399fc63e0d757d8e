"""Runs import their libraries while data are written or read; bad input starts nothing."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import run, tune
from bench.cli.app import main
from bench.cli.jobs import executor
from bench.grid import answers, children
from datasets.phantoms.write import write_phantoms

ROOT = Path(__file__).resolve().parents[4]
COMMAND = """
import sys
if __name__ == "__main__":
    from bench.cli.app import main
    from bench.grid import runner

    def look(function, *_, **__):
        print("imported:", sorted(sys.modules), flush=True)
        raise KeyboardInterrupt  # nothing is to be computed

    runner.start_child = look
    sys.exit(main(sys.argv[1:]))
"""
HEAVY = {"torch", "timm", "monai", "lightning_fabric", "mlflow", "pandas", "optuna", "matplotlib"}


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
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(executor, "start_server", refuse)
    monkeypatch.setattr(children, "start_server", refuse)
    monkeypatch.setattr(answers, "_start", refuse)
    assert main(["run", "--methods", "lroa", "--out", str(tmp_path)]) == 2


def test_the_first_run_starts_before_its_command_imports_what_takes_seconds(tmp_path: Path) -> None:
    """Libraries of the training are imported by the fork server alone, MLflow's after the start."""
    write_phantoms("brats", tmp_path / "brats", n_cases=4, shape=(16, 32, 32))
    script = tmp_path / "command.py"
    script.write_text(COMMAND, encoding="utf-8")
    words = "run --methods linear,lora[rank=4] --datasets brats --preset demo --folds 0"
    words += f" --set data.n_folds=2 --data-root {tmp_path / 'brats'} --out {tmp_path / 'out'}"
    done = subprocess.run(
        [sys.executable, str(script), *words.split()],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 130, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("imported: ")]
    imported = set(ast.literal_eval(line.removeprefix("imported: ")))
    assert "bench.grid.runner" in imported
    assert imported & HEAVY == set()
