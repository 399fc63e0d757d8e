"""What later commands make of jobs that earlier ones have submitted, or died over."""

import pytest

from bench.grid.executors import follow, ledger
from bench.grid.executors.follow import Dispatch
from bench.grid.executors.queue import ENDED, QueueAwayError, QueueError
from tests.bench.grid.executors.dispatching import Spec, make_dispatch, make_specs, never


def test_the_next_command_adopts_what_is_queued_or_running(queue, tmp_path):
    first, _ = make_dispatch(queue, tmp_path)
    specs = make_specs(tmp_path)
    first.start(specs, never)
    queue.start("1_1")
    second, changes = make_dispatch(queue, tmp_path)
    assert second.start(specs, never) == 3
    for job_id in list(queue.jobs):
        queue.end(job_id)
    second.follow()
    assert [change.phase for change in changes] == [ENDED] * 3
    assert max(queue.submitted.values()) == 1


def test_a_command_that_dies_before_it_knows_the_ids_leaves_jobs_that_are_found(queue, tmp_path):
    first, _ = make_dispatch(queue, tmp_path)
    specs = make_specs(tmp_path)
    queue.dies_after_submit = True
    with pytest.raises(KeyboardInterrupt):
        first.start(specs, never)
    queue.dies_after_submit = False
    second, _ = make_dispatch(queue, tmp_path)
    assert second.start(specs, never) == 3
    assert ledger.read_submission(tmp_path / "runs" / "r2").name == queue.arrays[0][0]
    assert max(queue.submitted.values()) == 1


def test_a_submission_on_its_way_is_waited_for(queue, tmp_path, monkeypatch):
    """The command was killed while sbatch ran: the queue knows the jobs a moment later."""
    folder = tmp_path / "runs" / "r0"
    ledger.write_submission(folder, ledger.Submission(name="medtuning-x"))
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        queue.submit([folder], "medtuning-x", None)

    monkeypatch.setattr(follow.time, "sleep", sleep)
    changes = []
    dispatch = Dispatch(queue, tmp_path, None, changes.append, follow.Pace(submit_s=30.0))
    assert dispatch.start({folder: Spec(0)}, never) == 1
    assert slept[0] == pytest.approx(30, abs=5)
    assert queue.submitted[folder] == 1


def test_two_commands_do_not_both_submit_what_has_died(queue, tmp_path):
    specs = make_specs(tmp_path, 1)
    (folder,) = specs
    first, _ = make_dispatch(queue, tmp_path)
    first.start(specs, never)
    second, changes = make_dispatch(queue, tmp_path)
    second.start(specs, never)
    queue.start("1_0")
    queue.end("1_0", "FAILED", by_itself=False)
    for dispatch in (first, second, first, second):
        dispatch.poll()
    assert queue.submitted[folder] == 2
    queue.start("2_0")
    queue.end("2_0")
    second.follow()
    assert changes[-1].phase == ENDED


def test_a_submission_that_slurm_took_without_an_answer_is_found(queue, tmp_path, monkeypatch):
    dispatch, _ = make_dispatch(queue, tmp_path)
    specs = make_specs(tmp_path, 2)
    dispatch.start(specs, never)
    queue.start("1_0")
    queue.end("1_0", "FAILED", by_itself=False)
    answer = queue.submit

    def take_and_hang(*arguments):
        answer(*arguments)
        raise QueueAwayError("sbatch did not answer within 60 s")

    monkeypatch.setattr(queue, "submit", take_and_hang)
    dispatch.poll()
    dispatch.poll()
    monkeypatch.setattr(queue, "submit", answer)
    dispatch.poll()
    assert len(queue.arrays) == 2
    assert not dispatch.waiting
    assert {live.submission.job_id for live in dispatch.live.values()} == {"1_1", "2_0"}


def test_a_refused_submission_is_not_waited_for_by_the_next_command(queue, tmp_path, monkeypatch):
    queue.refusal = "Slurm refuses the job: x"
    specs = make_specs(tmp_path, 1)
    dispatch = Dispatch(queue, tmp_path, None, [].append, follow.Pace(submit_s=30.0))
    with pytest.raises(QueueError):
        dispatch.start(specs, never)
    queue.refusal = ""
    monkeypatch.setattr(follow.time, "sleep", lambda seconds: pytest.fail("it waits"))
    again = Dispatch(queue, tmp_path, None, [].append, follow.Pace(submit_s=30.0))
    assert again.start(specs, never) == 0
    assert len(queue.arrays) == 1
