"""Lines for batch jobs: at most one a minute and run, with what matters, and plain text."""

import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from bench.cli.display.cases import CaseDisplay
from bench.cli.display.options import OutputRequest
from bench.cli.display.runs import GridDisplay
from bench.cost.phases import FIT, MEASURE, PREPARE, SCORE, VALIDATE, WRITE
from bench.grid.forecast import Forecast
from bench.grid.runner import Event
from bench.run.watch.progress import Stand
from bench.specs.protocol import Protocol, SpecError
from bench.specs.run import MethodSpec, RunSpec
from reports.formats.terminal import SafeConsole
from reports.records.cost import PhaseTime
from reports.records.run import RunResult, Status

UNITS = {PREPARE: 1, FIT: 100, VALIDATE: 10, WRITE: 1, SCORE: 5, MEASURE: 1}
TIMES = (
    PhaseTime(PREPARE, 1, 5.0, 5.0),
    PhaseTime(FIT, 50, 100.0, 2.0),
    PhaseTime(VALIDATE, 5, 15.0, 3.0),
)
STAND = Stand(FIT, 5, 10, None, "node", 1, UNITS, TIMES, 2, 0.4321, 0.7, 2048.0)
LINE = (
    "running  lora · brats · fold 0 · seed 0: epoch 5/10, loss 0.4321, validation Dice 70.0 %, "
    "1 samples/s, ETA 0:02:20, 2.00 GiB"
)


def spec_of(method="lora", dataset="brats"):
    return RunSpec(MethodSpec(method), dataset, "abc", 0, 0, Protocol(), Path("/data"))


def result_of(spec, status=Status.DONE, reason=""):
    return RunResult(
        run_id=spec.run_id, status=status, reason=reason, method=spec.method.name, settings={},
        label=spec.method.name, dataset=spec.dataset, backbone="b", weights="none", fold=0,
        seed=0, protocol_id="p", protocol={}, synthetic=True,
    )  # fmt: skip


class Screen:
    """A display on a file, with a clock that is put forward by hand."""

    def __init__(self, specs, output):
        self.text = StringIO()
        self.now = 0.0
        console = SafeConsole(file=self.text)
        forecast = Forecast(specs, {spec.run_id: UNITS for spec in specs}, 1)
        self.display = GridDisplay(console, output, forecast, Path("out"), lambda: self.now)

    @property
    def lines(self):
        return self.text.getvalue().splitlines()


def watch(specs, **output):
    return Screen(specs, OutputRequest(**output))


def go_on(screen, spec, seconds):
    """Let a run go on; it tells of itself every second."""
    for _ in range(seconds):
        screen.now += 1
        screen.display.show(Event(spec, FIT, replace(STAND)))
        screen.display.tell()


def test_a_run_has_one_line_a_minute_with_all_that_matters():
    spec = spec_of()
    screen = watch([spec])
    screen.display.show(Event(spec, "start"))
    go_on(screen, spec, 150)
    first, *lines = screen.lines
    assert first == f"started  lora · brats · fold 0 · seed 0, log: out/runs/{spec.run_id}/run.log"
    assert lines == [LINE, LINE]


def test_a_line_comes_though_nothing_is_new():
    spec = spec_of()
    screen = watch([spec])
    screen.display.show(Event(spec, "start"))
    screen.display.show(Event(spec, MEASURE, replace(STAND, phase=MEASURE)))
    for _ in range(130):
        screen.now += 1
        screen.display.tell()
    assert len(screen.lines) == 3
    assert all(": measuring cost, " in line for line in screen.lines[1:])


def test_two_runs_have_their_own_minutes():
    specs = [spec_of(), spec_of("linear")]
    screen = watch(specs)
    for spec in specs:
        screen.display.show(Event(spec, "start"))
        go_on(screen, spec, 20)
    assert len(screen.lines) == 2
    go_on(screen, specs[0], 60)
    assert sum("running  lora" in line for line in screen.lines) == 1
    assert sum("running  linear" in line for line in screen.lines) == 1


def test_the_end_of_a_run_tells_the_time_left_of_all():
    specs = [spec_of(), spec_of("linear")]
    screen = watch(specs)
    screen.display.show(Event(specs[0], "start"))
    go_on(screen, specs[0], 10)
    reason = "the run's process was killed by SIGKILL"
    screen.display.show(Event(specs[0], "end", result=result_of(specs[0], Status.FAILED, reason)))
    log = f"log: out/runs/{specs[0].run_id}/run.log"
    assert screen.lines[-1].startswith(
        f"failed   lora · brats · fold 0 · seed 0: {reason}; {log} (1/2"
    )
    assert re.search(r"ETA of all \d:\d\d:\d\d\)$", screen.lines[-1])


def test_quiet_tells_of_failures_alone():
    specs = [spec_of(), spec_of("linear")]
    screen = watch(specs, quiet=True)
    for spec, status in zip(specs, (Status.DIVERGED, Status.SKIPPED), strict=True):
        screen.display.show(Event(spec, "start"))
        go_on(screen, spec, 100)
        screen.display.show(Event(spec, "end", result=result_of(spec, status, "why")))
    assert [line.split()[0] for line in screen.lines] == ["diverged"]


def test_verbose_tells_every_five_seconds():
    spec = spec_of()
    screen = watch([spec], verbose=True)
    screen.display.show(Event(spec, "start"))
    go_on(screen, spec, 20)
    assert len(screen.lines) == 1 + 4


def test_verbose_and_quiet_exclude_each_other():
    with pytest.raises(SpecError, match="--verbose: excludes --quiet"):
        OutputRequest(verbose=True, quiet=True).check()


def test_no_character_of_a_name_or_a_reason_controls_a_log():
    spec = spec_of(dataset="bad\x1b[2J\rname\u202e")
    screen = watch([spec])
    screen.display.show(Event(spec, "start"))
    go_on(screen, spec, 70)
    failed = result_of(spec, Status.FAILED, "no\x1b[1mroom\x07")
    screen.display.show(Event(spec, "end", result=failed))
    text = screen.text.getvalue()
    assert len(screen.lines) == 3
    assert all(each.isprintable() for each in text.split("\n"))


def test_counted_work_has_its_line():
    text, now = StringIO(), [0.0]
    display = CaseDisplay(SafeConsole(file=text), OutputRequest(), lambda: now[0])
    for done in range(1, 101):
        now[0] += 1.5
        display.on_case("preparing brats", done, 200, ", loss 0.5")
        display.tell()
    assert (
        text.getvalue().splitlines()
        == [
            "running  preparing brats: 40/200, loss 0.5, ETA 0:04:02",
            "running  preparing brats: 80/200, loss 0.5, ETA 0:03:01",
        ]
        or text.getvalue().count("\n") == 2
    )


def test_a_thread_tells_while_the_command_waits():
    text = StringIO()
    display = CaseDisplay(SafeConsole(file=text), OutputRequest())
    display.interval_s = 0.01
    with display:
        display.on_case("reading", 1, 2)
        display.ended.wait(0.3)
    assert text.getvalue().startswith("running  reading: 1/2, ETA 0:00:0")
