"""The script for a GPU, on a CPU: its rows, its goals, and its table of results."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.network import device
from benchmarks.network.training_step import Figures
from reports.records.cost import PhaseTime
from reports.records.run import Status
from tests.reports.made_results import make_result


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[device.Way]:
    """Time nothing: return the ways that were asked for."""
    seen: list[device.Way] = []
    took_s = {"fp32": 0.3, "bf16": 0.1}

    def time_way(function: object, way: device.Way, *_: object) -> Figures:
        seen.append(way)
        seconds = took_s[way.precision] * (1.2 if way.checkpointing else 1.0)
        return Figures(seconds, 3.0, 2.0, 1.0)

    monkeypatch.setattr(device, "run_in_child", time_way)
    return seen


def test_ratios_are_those_of_the_steps(timed, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["device", "--small", "--device", "cpu", "--skip-job"])
    assert device.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert "bf16 is 3.00x faster than fp32 (med_adapter)" in lines
    assert "--checkpointing: 1.20x the time of a plain step" in lines
    assert lines[-1] == "all goals are reached"
    assert [way.title for way in timed] == [way.title for way in device.WAYS if not way.compiled]


def test_missed_goals_are_said(timed, monkeypatch, capsys) -> None:
    monkeypatch.setattr(device, "GOALS", {"bf16, med_adapter": 4.0, "saving": 1.1, "busy": 0.9})
    monkeypatch.setattr("sys.argv", ["device", "--small", "--device", "cpu", "--skip-job"])
    assert device.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["missed: bf16, med_adapter: 3.00x", "missed: --checkpointing"]


def test_what_was_not_measured_is_no_goal_that_is_reached(timed, monkeypatch, capsys) -> None:
    monkeypatch.setattr(device, "LIMIT_S", -1.0)
    ended = make_result("lora"), "was ended: 480 s are over"
    monkeypatch.setattr(device, "run_job", lambda *_: ([ended[0]], ended[1]))
    monkeypatch.setattr("sys.argv", ["device", "--small", "--device", "cpu"])
    assert device.main() == 1
    assert capsys.readouterr().out.splitlines()[-5:] == [
        "missed: bf16, full: not measured",
        "missed: bf16, med_adapter: not measured",
        "missed: --checkpointing: not measured",
        "missed: the main job was ended: 480 s are over",
        "missed: lora: busy not measured",
    ]


def test_a_step_is_timed_on_a_cpu() -> None:
    way = device.Way("saving", "linear", "fp32", checkpointing=True, n_chunks=2)
    figures = device.time_way(way, device.SMALL, "cpu")
    assert figures.seconds > 0
    assert figures.peak_mib > figures.step_mib


def test_a_run_is_a_row(monkeypatch, capsys) -> None:
    done = make_result("lora")
    phases = (PhaseTime("fit", 11, 3.0, 2.0),)  # ten batches of two patches in a second
    quick = replace(done, method="lora", cost=replace(done.cost, phases=phases, gpu_busy_frac=0.9))
    idle = replace(quick, method="full", cost=replace(quick.cost, gpu_busy_frac=0.5))
    failed = replace(quick, method="linear", status=Status.OOM, reason="out of memory", cost=None)
    monkeypatch.setattr(device, "run_job", lambda *_: ([quick, idle, failed], ""))
    assert device.print_job(device.SMALL, "cpu", 0.0) == [
        "missed: full: busy 50%",
        "missed: linear ended as oom: out of memory",
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].startswith("| lora | done | 20.0 | 90% | ")
    assert lines[5] == "| linear | oom | | | |"
