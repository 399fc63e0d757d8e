"""The time left of a grid, on a simulated clock with phase times that real runs have recorded."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.cost.phases import FIT, MEASURE, PREPARE, SCORE, VALIDATE, WRITE, PhaseClock
from bench.grid.forecast import Forecast
from bench.run.watch.progress import Stand
from bench.specs.protocol import Protocol
from bench.specs.run import MethodSpec, RunSpec
from reports.records.cost import PhaseTime

RECORDED = json.loads(Path(__file__).with_name("recorded_phases.json").read_text())
TOLERANCE = 0.2


@dataclass
class Moment:
    """A step of a simulated run: seconds since its begin, and the times of its phases so far."""

    at_s: float
    times: tuple[PhaseTime, ...]


def spec_of(method, seed=0):
    return RunSpec(MethodSpec(method), "brats2020", "abc", 0, seed, Protocol(), Path("/data"))


def play(recorded):
    """Return the units of a run and its moments; fit and validation take turns as they did."""
    phases = {each["phase"]: each for each in recorded["phases"]}
    units = {name: each["units"] for name, each in phases.items()}
    order = [PREPARE]
    n_validations = recorded["validations"]
    for number in range(n_validations):
        for phase in (FIT, VALIDATE):
            first = units[phase] * number // n_validations
            order += [phase] * (units[phase] * (number + 1) // n_validations - first)
    order += [WRITE, *[SCORE] * units[SCORE], MEASURE]
    now = [0.0]
    clock = PhaseClock(lambda: now[0])
    moments = []
    for phase in order:
        each = phases[phase]
        is_first = phase not in clock.times
        rest_s = (each["seconds"] - each["first_s"]) / max(1, each["units"] - 1)
        now[0] += each["first_s"] if is_first else rest_s
        clock.tick(phase)
        moments.append(Moment(now[0], clock.recorded))
    return units, moments


def simulate(specs, runs, n_slots, on_moment):
    """Carry out runs on slots; call ``on_moment(forecast, now)`` at each step; return the end."""
    played = {spec.run_id: play(run) for spec, run in zip(specs, runs, strict=True)}
    extra_s = {spec.run_id: run["extra_s"] for spec, run in zip(specs, runs, strict=True)}
    forecast = Forecast(specs, {run_id: units for run_id, (units, _) in played.items()}, n_slots)
    waiting = [spec.run_id for spec in specs]
    events = []

    def begin(at_s):
        run_id = waiting.pop(0)
        begins = at_s + extra_s[run_id]
        events.append((at_s, run_id, "start", ()))
        events.extend(
            (begins + each.at_s, run_id, "go on", each.times) for each in played[run_id][1]
        )
        last = played[run_id][1][-1]
        events.append((begins + last.at_s, run_id, "end", last.times))

    for _ in range(min(n_slots, len(waiting))):
        begin(0.0)
    now = 0.0
    while events:
        events.sort(key=lambda event: event[0])
        now, run_id, what, times = events.pop(0)
        if what == "start":
            forecast.start(run_id, now)
        elif what == "go on":
            forecast.advance(run_id, Stand(FIT, 0, 1, None, "node", 1, times=times), now)
        else:
            forecast.end(run_id, times, now)
            if waiting:
                begin(now)
        on_moment(forecast, now)
    return now


def look(specs, runs, n_slots, share):
    """Return the time left after a share of a grid: as predicted, and as it was."""
    end_s = simulate(specs, runs, n_slots, lambda forecast, now: None)
    seen = []

    def on_moment(forecast, now):
        if now >= share * end_s and not seen:
            seen.append((forecast.left(now), end_s - now))

    simulate(specs, runs, n_slots, on_moment)
    return seen[0]


@pytest.mark.parametrize("n_slots", [1, 2])
@pytest.mark.parametrize("n_seeds", [1, 3])
@pytest.mark.parametrize("grid", sorted(RECORDED))
def test_after_a_third_of_a_grid_the_time_left_is_within_a_fifth(grid, n_seeds, n_slots):
    runs = RECORDED[grid]
    assert len(runs) >= 6
    specs = [spec_of(run["method"], seed) for seed in range(n_seeds) for run in runs]
    predicted_s, actual_s = look(specs, runs * n_seeds, n_slots, 1 / 3)
    assert predicted_s == pytest.approx(actual_s, rel=TOLERANCE)


def test_nothing_is_known_before_the_first_validation():
    run = next(iter(RECORDED.values()))[0]
    seen = []
    specs = [spec_of("lora")]
    simulate(specs, [run], 1, lambda forecast, now: seen.append(forecast.left(now)))
    assert seen[0] is None
    assert seen[-1] == 0.0


def test_earlier_runs_tell_the_time_of_the_first():
    run = next(iter(RECORDED.values()))[0]
    units, moments = play(run)
    spec = spec_of(run["method"])
    forecast = Forecast([spec], {spec.run_id: units}, 1)
    forecast.learn(spec_of(run["method"], seed=7), moments[-1].times)
    assert forecast.left(0.0) == pytest.approx(moments[-1].at_s, rel=0.1)


def test_the_time_since_the_last_news_is_over():
    run = next(iter(RECORDED.values()))[0]
    units, moments = play(run)
    spec = spec_of(run["method"])
    forecast = Forecast([spec], {spec.run_id: units}, 1)
    forecast.learn(spec, moments[-1].times)
    forecast.start(spec.run_id, 0.0)
    before_s = forecast.left(0.0)
    assert forecast.left(1.0) == pytest.approx(before_s - 1.0)
    assert forecast.left(1e6) == 0.0


UNITS = {FIT: 10}


def times_of(batch_s, n_batches=10):
    return (PhaseTime(FIT, n_batches, batch_s * n_batches, batch_s),)


def test_a_run_takes_as_long_as_those_of_its_method_and_then_as_long_as_itself():
    slow, fast = spec_of("full", 1), spec_of("linear", 1)
    forecast = Forecast([slow, fast], {slow.run_id: UNITS, fast.run_id: UNITS}, 2)
    forecast.learn(spec_of("full"), times_of(10.0))
    forecast.learn(spec_of("linear"), times_of(1.0))
    assert forecast.left(0.0) == pytest.approx(100.0)
    forecast.start(slow.run_id, 0.0)
    forecast.start(fast.run_id, 0.0)
    assert forecast.left_of(fast.run_id, 0.0) == pytest.approx(10.0)
    own = Stand(FIT, 0, 1, None, "node", 1, times=times_of(3.0, 5))
    forecast.advance(fast.run_id, own, 15.0)
    assert forecast.left_of(fast.run_id, 15.0) == pytest.approx(15.0)


def test_a_method_that_none_has_run_takes_as_long_as_the_others():
    spec = spec_of("lora")
    forecast = Forecast([spec], {spec.run_id: UNITS}, 1)
    forecast.learn(spec_of("full"), times_of(10.0))
    forecast.learn(spec_of("linear"), times_of(1.0))
    assert forecast.left(0.0) == pytest.approx(55.0)


def test_a_run_whose_work_is_not_known_leaves_the_whole_unknown():
    known, unknown = spec_of("lora"), spec_of("lora", 1)
    forecast = Forecast([known, unknown], {known.run_id: UNITS}, 1)
    forecast.learn(known, times_of(1.0))
    assert forecast.left(0.0) is None
