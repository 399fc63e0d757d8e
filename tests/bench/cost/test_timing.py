"""Repeats, quartiles, energy."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from bench.cost import timing
from bench.cost.timing import Part, Repeats, metered, time_part, time_repeats

CPU = torch.device("cpu")


class Clock:
    """A clock that a function can put forward."""

    def __init__(self, monkeypatch):
        self.now, self.calls = 0.0, 0
        monkeypatch.setattr(timing, "work_s", lambda: self.now)

    def work(self, *seconds):
        def function():
            self.now += seconds[min(self.calls, len(seconds) - 1)]
            self.calls += 1

        return function


def test_the_median_and_the_quartiles_leave_the_warm_up_out(monkeypatch):
    clock = Clock(monkeypatch)
    found = time_repeats(
        clock.work(100.0, 1.0, 2.0, 3.0, 4.0, 50.0), CPU, Repeats(at_least=5, budget_s=55)
    )
    assert (found.median_s, found.iqr_s, found.n) == (3.0, 2.0, 5)
    assert clock.calls == 6


@pytest.mark.parametrize(
    ("seconds", "n_cold", "n_warm"),
    [(10.0, (1, 2), (1, 1)), (0.25, (3, 4), (3, 4)), (0.001, (20, 21), (20, 21))],
)
def test_repeats_fit_the_budget_within_their_bounds(monkeypatch, seconds, n_cold, n_warm):
    """A single call that is longer than the budget is enough; a CPU that is warm needs no other."""
    repeats = Repeats(at_least=3, at_most=20, budget_s=0.5)
    for is_warm, expected in ((False, n_cold), (True, n_warm)):
        clock = Clock(monkeypatch)
        found = time_repeats(clock.work(seconds), CPU, repeats, is_warm=is_warm)
        assert (found.n, clock.calls) == expected
        assert found.median_s == pytest.approx(seconds)


def test_a_cpu_tells_no_energy():
    with metered(CPU) as energy:
        pass
    assert energy.joules is None


def fake_nvml(readings):
    class NVMLError(Exception):
        pass

    def read(handle):
        reading = next(readings)
        if reading is None:
            raise NVMLError("not supported")
        return reading

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=read,
    )


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="abc")
    )
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    return torch.device("cuda", 0)


def test_energy_is_the_difference_of_nvmls_counter(monkeypatch, gpu):
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(iter([7000, 7000, 9500])))
    with metered(gpu) as energy:
        assert energy.joules is None
    assert energy.joules == 2.5


def test_a_board_without_the_counter_tells_none(monkeypatch, gpu):
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(iter([None])))
    with metered(gpu) as energy:
        pass
    assert energy.joules is None


def test_without_nvml_there_is_none(monkeypatch, gpu):
    monkeypatch.setitem(sys.modules, "pynvml", None)  # the import fails
    with metered(gpu) as energy:
        pass
    assert energy.joules is None


def test_the_time_of_a_part_is_scaled_to_the_whole(monkeypatch):
    clock = Clock(monkeypatch)
    function = clock.work(1.0, 1.0, 2.0, 3.0, 4.0, 50.0)
    found = time_part(Part(function, scale=6.0), CPU, Repeats(at_least=5, budget_s=55))
    assert (found.median_s, found.iqr_s, found.n, found.scale) == (18.0, 12.0, 5, 6.0)
