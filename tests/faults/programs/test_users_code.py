"""Whatever a user's method does while it is built, it does not end or mislead a command."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path

import pytest

from bench.cli.app import main
from bench.cli.checking import promises
from bench.cli.options import Request
from bench.cli.request import read_request
from bench.grid import feasibility
from bench.run.interruption import EXIT_INTERRUPTED, Interrupted
from bench.run.training.step import TrainingStep
from bench.tuning.space import build_space
from reports.records.run import Status, read_result

OWN = """
    import os
    import sys
    import time
    from dataclasses import dataclass, replace
    from typing import ClassVar

    import numpy as np
    import torch

    from methods.base import MethodInfo, MissingRole
    from methods.low_rank.lora import Lora
    from methods.settings import at_least, setting


    def named(name):
        return replace(Lora.info, name=name)


    class Quits(Lora):
        info = named("quits")

        def inject(self, backbone):
            sys.exit(0)


    class Dies(Lora):
        info = named("dies")

        def inject(self, backbone):
            os._exit(0)


    class Stops(Lora):
        info = named("stops")

        def inject(self, backbone):
            raise KeyboardInterrupt


    class Hangs(Lora):
        info = named("hangs")

        def inject(self, backbone):
            while True:
                time.sleep(1)


    class Talks(Lora):
        info = named("talks")

        def inject(self, backbone):
            super().inject(backbone)
            for _ in range(10_000):
                print("x" * 1000)
                os.write(2, b"y" * 1000)


    class Raises(Lora):
        info = named("raises")

        def inject(self, backbone):
            raise RuntimeError("z" * 5_000_000)


    class Weighs(Lora):
        info = named("weighs")

        def inject(self, backbone):
            self.look_at(next(iter(backbone.parameters())))
            super().inject(backbone)

        def look_at(self, weight):
            assert weight.norm().item() > 0


    class Decomposes(Weighs):
        info = named("decomposes")

        def look_at(self, weight):
            np.linalg.svd(weight.detach().numpy().reshape(len(weight), -1))


    class Judges(Weighs):
        info = named("judges")

        def look_at(self, weight):
            if weight.is_meta:
                raise ValueError("the numbers of this weight are no numbers")


    @dataclass(frozen=True)
    class Refuses(Lora):
        limit: int = setting(9, "largest rank", at_least(1))
        info: ClassVar[MethodInfo] = named("refuses")

        def inject(self, backbone):
            if self.rank > self.limit:
                raise ValueError(f"refuses: rank must be <= {self.limit}, got {self.rank}")
            super().inject(backbone)


    class Misses(Lora):
        info = named("misses")

        def inject(self, backbone):
            raise MissingRole("misses needs what nobody has")
"""
ENDS = {
    "exits": "import sys; sys.exit(0)",
    "dies": "import os; os._exit(0)",
    "stops": "raise KeyboardInterrupt",
    "hangs": "import time; time.sleep(1000)",
}


FIRST = {"tuned parameters": promises.contract.PROMISES["tuned parameters"]}


@pytest.fixture(autouse=True)
def _own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users_methods.py").write_text(textwrap.dedent(OWN))
    for name, code in ENDS.items():
        (tmp_path / f"module_that_{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(feasibility, "PATIENCE_S", 8.0)


def ask(*names: str) -> list[str]:
    """Read a request for methods as `run` does; return their names."""
    request = Request(methods=",".join(f"users_methods:{name}" for name in names))
    return [str(method) for method in read_request(request).methods]


@pytest.mark.parametrize("name", ["Quits", "Dies", "Stops", "Talks", "Raises", "Misses"])
def test_what_is_no_value_error_leaves_it_to_the_run(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ask(name) == [f"users_methods:{name}"]
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


@pytest.mark.parametrize("name", ["Weighs", "Decomposes", "Judges"])
def test_a_method_may_start_from_the_weights(name: str) -> None:
    assert ask(name) == [f"users_methods:{name}"]


def test_the_plan_of_a_method_that_quits_is_printed(capsys) -> None:
    assert main(["plan", "--methods", "users_methods:Quits", "--datasets", "brats"]) == 0
    assert "1 to do" in capsys.readouterr().out


def test_a_method_that_does_not_return_is_given_up_and_the_others_are_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feasibility, "PATIENCE_S", 3.0)
    started = time.monotonic()
    with pytest.raises(ValueError, match="refuses: rank must be <= 9, got 16"):
        ask("Hangs", "Weighs", "Refuses[rank=16]")
    assert time.monotonic() - started < 15


def test_a_value_error_refuses_the_request_also_at_the_end_of_a_search(capsys) -> None:
    with pytest.raises(ValueError, match="refuses: rank must be <= 9, got 16"):
        ask("Quits", "Refuses[rank=16]")
    arguments = ["tune", "--methods", "users_methods:Refuses", "--datasets", "brats"]
    assert main([*arguments, "--search", "refuses.rank=4..32", "--trials", "1"]) == 2
    assert "refuses: rank must be <= 9, got 32" in capsys.readouterr().err


def test_what_tuning_has_no_effect_on_is_asked_in_a_process_of_its_own() -> None:
    def count_dimensions(name: str) -> int:
        experiment = read_request(Request(methods=name, backbone="tiny_vit"))
        (method,) = experiment.methods
        return len(build_space(method.build(), experiment.protocol))

    known = count_dimensions("lora")
    for name in ("Quits", "Dies", "Weighs"):
        assert count_dimensions(f"users_methods:{name}") == known


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("command", ["plan", "check"])
def test_a_module_that_ends_the_process_is_refused(
    command: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    for module in (feasibility, promises):
        monkeypatch.setattr(module, "PATIENCE_S", 2.0)
    method = f"module_that_{name}:Any"
    started = time.monotonic()
    assert main([command, "--methods", method] if command == "plan" else [command, method]) == 2
    said = capsys.readouterr().err
    assert method in said
    assert "building its record" in said
    assert time.monotonic() - started < 20  # one answer is waited for, not one for each promise


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Quits", "fails: SystemExit: 0"),
        ("Dies", "fails: its process ended with exit code 0"),
        ("Raises", "fails: RuntimeError: "),
        ("Hangs", "fails: has not returned within 2 s"),
    ],
)
def test_check_says_how_such_a_method_fails(
    name: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(promises, "PATIENCE_S", 2.0)
    monkeypatch.setattr(promises.contract, "PROMISES", FIRST)  # the others take their time
    arguments = ["check", f"users_methods:{name}", "--backbone", "tiny_vit"]
    assert main(arguments) == 1
    assert sentence in capsys.readouterr().out


def test_sys_exit_in_training_is_a_failure_and_an_interruption_is_none(
    make_run, carry_out, monkeypatch, tmp_path: Path
) -> None:
    def leave(self: TrainingStep, loss: object) -> None:
        raise SystemExit(0)

    monkeypatch.setattr(TrainingStep, "backward", leave)
    result = carry_out(make_run(), tmp_path / "run")
    assert result.status == Status.FAILED
    assert "has asked to end the process (sys.exit(0))" in result.reason
    assert "leave" in result.traceback

    def interrupt(self: TrainingStep, loss: object) -> None:
        raise Interrupted(EXIT_INTERRUPTED)

    monkeypatch.setattr(TrainingStep, "backward", interrupt)
    with pytest.raises(Interrupted):
        carry_out(make_run(), tmp_path / "other")
    assert read_result(tmp_path / "other") is None


def test_a_command_that_is_ended_by_what_it_calls_does_not_end_well(
    monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def leave() -> None:
        raise SystemExit(0)

    monkeypatch.setattr("reports.records.run.describe_schema", leave)
    assert main(["schema"]) == 1
    assert "has asked to end it (sys.exit(0))" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert main(["schema", "--no-such-option"]) == 2


@pytest.mark.slow
def test_runs_decide_what_the_check_could_not(
    phantoms: Path, tmp_path: Path, new_store, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path / "store"))
    names = ("Quits", "Dies", "Stops", "Weighs", "Decomposes")
    arguments = ["run", "--methods", ",".join(f"users_methods:{name}" for name in names)]
    arguments += ["--datasets", "brats", "--data-root", str(phantoms), "--preset", "quick"]
    arguments += ["--epochs", "1", "--device", "cpu", "--backbone", "tiny_vit"]
    arguments += ["--weights", "none", "--out", str(tmp_path / "out")]
    for setting in ("data.patch=4,32,32", "data.patches_per_epoch=2", "data.n_folds=3"):
        arguments += ["--set", setting]
    assert main(arguments) == 1
    results = [read_result(file.parent) for file in (tmp_path / "out").glob("runs/*/result.json")]
    statuses = {result.label: result.status for result in results if result}
    failed = dict.fromkeys(("quits", "dies", "stops"), Status.FAILED)
    assert statuses == failed | dict.fromkeys(("weighs", "decomposes"), Status.DONE)
