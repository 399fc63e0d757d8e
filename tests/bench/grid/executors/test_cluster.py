"""Runs as jobs: their events are those of local runs, and what is odd is said once."""

from dataclasses import replace

import pytest

from bench.cost.phases import FIT, PREPARE, Advance
from bench.grid.executors import cluster as clusters
from bench.grid.executors import ledger
from bench.grid.executors.cluster import Cluster, GridOfJobs
from bench.grid.executors.job import RunJob
from bench.run.watch.progress import Recorder
from bench.specs.protocol import Protocol
from bench.specs.run import MethodSpec, RunSpec, run_folder
from reports.records.run import RunResult, Status, read_result
from tests.bench.grid.executors.conftest import FAST

RESULT = RunResult(
    run_id="r", status=Status.DONE, reason="", method="linear", settings={}, label="linear",
    dataset="brats", backbone="b", weights="none", fold=0, seed=0, protocol_id="p",
    protocol={}, synthetic=True,
)  # fmt: skip


@pytest.fixture
def specs(tmp_path):
    protocol = Protocol()
    method = MethodSpec("linear")
    return [RunSpec(method, "brats2020", "abc", 0, seed, protocol, tmp_path) for seed in (0, 1)]


@pytest.fixture
def make_grid(queue, specs, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "record_death", lambda *found: replace(RESULT, reason=found[3]))
    events, notes = [], []

    def make(**options):
        cluster = Cluster(queue, pace=FAST, **options)
        return GridOfJobs(cluster, specs, tmp_path, events.append, notes.append)

    return make, events, notes


def finish(queue, job_id, status=Status.DONE):
    folder = queue.folders[job_id]
    replace(RESULT, status=status, run_id=folder.name).write(folder)
    queue.end(job_id)


def test_the_events_of_a_job_are_those_of_a_run(queue, specs, make_grid, tmp_path):
    make, events, _ = make_grid
    grid = make()
    assert grid.submit(force=False) == (0, 2)
    queue.start("1_0")
    attempt = run_folder(tmp_path, specs[0]) / "attempt"
    attempt.mkdir()
    recorder = Recorder(attempt, "cpu", lambda *told: None)
    grid.dispatch.poll()
    recorder.advance(Advance(FIT, 20, 20))
    grid.dispatch.poll()
    for job_id in ("1_0", "1_1"):
        finish(queue, job_id)
    grid.follow()
    first = [event for event in events if event.spec is specs[0]]
    assert [event.phase for event in first] == ["start", PREPARE, FIT, "end"]
    assert first[2].stand.done == 20
    assert [event.phase for event in events if event.spec is specs[1]] == ["start", "end"]


def test_a_job_gets_its_folder_and_finds_the_run_in_it(queue, specs, make_grid, tmp_path):
    make, _, _ = make_grid
    make(device="cuda", wants_gpu=True).submit(force=False)
    job = ledger.read_spec(run_folder(tmp_path, specs[0]), RunJob)
    assert job.run == specs[0]
    assert (job.out, job.device, job.wants_gpu) == (tmp_path, "cuda", True)


@pytest.mark.parametrize(("force", "count"), [(False, 1), (True, 2)])
def test_what_is_finished_gets_a_job_only_by_force(queue, specs, make_grid, tmp_path, force, count):
    make, events, _ = make_grid
    folder = run_folder(tmp_path, specs[0])
    folder.mkdir(parents=True)
    RESULT.write(folder)
    make().submit(force=force)
    assert len(queue.jobs) == count
    assert [event.phase for event in events] == ["start", "end"] * (2 - count)


def test_a_run_whose_job_is_given_up_has_a_record_with_the_reason(
    queue, specs, make_grid, tmp_path
):
    make, events, _ = make_grid
    grid = make()
    grid.submit(force=False)
    queue.start("1_0")
    queue.end("1_0", "CANCELLED", by_itself=False)
    finish(queue, "1_1")
    grid.follow()
    result = read_result(run_folder(tmp_path, specs[0]))
    assert result is not None
    assert result.reason == "job 1_0 was cancelled"
    assert {event.phase for event in events} == {"start", "end"}


def test_oddities_are_said_once(queue, specs, make_grid, tmp_path):
    make, _, notes = make_grid
    grid = make()
    grid.submit(force=False)
    job = queue.jobs["1_0"]
    queue.jobs["1_0"] = replace(job, reason="launch failed requeued held")
    queue.start("1_1")
    folder = run_folder(tmp_path, specs[1])
    submission = ledger.read_submission(folder)
    sign = ledger.read_sign(folder, submission)
    grid.held_since = 0.0
    ledger.write_sign(folder, replace(sign, clock_offset_s=300.0, keeps_locks=False))
    for _ in range(3):
        grid.dispatch.poll()
    assert len(notes) == 3
    assert "job 1_0 is held by Slurm: launch failed requeued held" in notes[0]
    assert "its clock is 300 s ahead" in notes[1]
    assert "keeps no locks between machines" in notes[2]


def test_a_job_that_began_between_two_commands_tells_nothing_of_locks(
    queue, specs, make_grid, tmp_path
):
    make, _, notes = make_grid
    grid = make()
    grid.submit(force=False)
    queue.start("1_1")
    folder = run_folder(tmp_path, specs[1])
    sign = ledger.read_sign(folder, ledger.read_submission(folder))
    ledger.write_sign(folder, replace(sign, keeps_locks=False))
    grid.dispatch.poll()
    assert not notes
