"""No folder has two jobs, whatever dies; what ends too early is submitted again."""

from collections import Counter

import pytest

from bench.grid.executors import follow, ledger
from bench.grid.executors.endings import MOST_ENDS
from bench.grid.executors.follow import LOST
from bench.grid.executors.queue import ENDED, QUEUED, RUNNING, QueueAwayError, QueueError
from tests.bench.grid.executors.dispatching import Spec, make_dispatch, make_specs, never


def test_what_is_submitted_has_its_spec_and_its_job_in_its_folder(queue, tmp_path):
    dispatch, _ = make_dispatch(queue, tmp_path)
    specs = make_specs(tmp_path)
    assert dispatch.start(specs, never) == 0
    assert len(queue.arrays) == 1
    for number, (folder, spec) in enumerate(specs.items()):
        assert ledger.read_spec(folder, Spec) == spec
        submission = ledger.read_submission(folder)
        assert (submission.job_id, submission.index) == (f"1_{number}", number)
        assert submission.name == queue.arrays[0][0]


def test_jobs_are_followed_until_each_has_ended(queue, tmp_path):
    dispatch, changes = make_dispatch(queue, tmp_path)
    dispatch.start(make_specs(tmp_path), never)
    dispatch.poll()
    assert {change.phase for change in changes} == {QUEUED}
    queue.start("1_0")
    dispatch.poll()
    assert changes[-3].phase == RUNNING
    assert changes[-3].sign.node == "n1"
    for job_id in list(queue.jobs):
        queue.end(job_id)
    dispatch.follow()
    assert Counter(change.phase for change in changes)[ENDED] == 3
    assert max(queue.submitted.values()) == 1


def test_a_job_that_ends_too_early_is_submitted_again_with_the_same_round(queue, tmp_path):
    dispatch, changes = make_dispatch(queue, tmp_path)
    specs = make_specs(tmp_path, 1)
    (folder,) = specs
    dispatch.start(specs, never)
    first = ledger.read_submission(folder)
    queue.start("1_0")
    queue.end("1_0", "TIMEOUT", by_itself=False)
    dispatch.poll()  # is seen gone
    dispatch.poll()  # is given up after the settling time, and submitted again
    second = ledger.read_submission(folder)
    assert second.job_id == "2_0"
    assert second.round == first.round
    assert second.past == ("1_0",)
    queue.start("2_0")
    queue.end("2_0")
    dispatch.follow()
    assert changes[-1].phase == ENDED
    assert queue.submitted[folder] == 2


@pytest.mark.parametrize("word", ["CANCELLED", "OUT_OF_MEMORY"])
def test_some_ends_are_final_and_cancel_no_other_job(queue, tmp_path, word):
    dispatch, changes = make_dispatch(queue, tmp_path)
    dispatch.start(make_specs(tmp_path, 2), never)
    queue.start("1_0")
    queue.start("1_1")
    queue.end("1_0", word, by_itself=False)
    dispatch.poll()
    dispatch.poll()
    lost = [change for change in changes if change.phase == LOST]
    assert [change.folder.name for change in lost] == ["r0"]
    assert lost[0].reason.startswith("job 1_0 ")
    queue.end("1_1")
    dispatch.follow()
    assert changes[-1].phase == ENDED
    assert len(queue.arrays) == 1


def test_ends_without_a_newer_checkpoint_are_counted_and_then_given_up(queue, tmp_path):
    dispatch, changes = make_dispatch(queue, tmp_path)
    specs = make_specs(tmp_path, 1)
    (folder,) = specs
    dispatch.start(specs, never)
    for number in range(1, 100):
        job_id = f"{number}_0"
        if job_id not in queue.jobs:
            break
        queue.start(job_id)
        if number in (2, 4):  # two of them get further
            (folder / "attempt").mkdir(exist_ok=True)
            (folder / "attempt" / "checkpoint.safetensors").write_text("x" * number)
        queue.end(job_id, "NODE_FAIL", by_itself=False)
        dispatch.poll()
        dispatch.poll()
    assert changes[-1].phase == LOST
    assert len(queue.arrays) == 3 + MOST_ENDS
    assert "5 times in a row without getting further" in changes[-1].reason
    assert "Slurm's word is NODE_FAIL" in changes[-1].reason


def test_a_node_that_does_not_see_the_folder_is_named_after_two_jobs(queue, tmp_path):
    dispatch, changes = make_dispatch(queue, tmp_path)
    dispatch.start(make_specs(tmp_path, 1), never)
    for job_id in ("1_0", "2_0"):
        queue.end(job_id, "FAILED", by_itself=False)
        dispatch.poll()
        dispatch.poll()
    assert changes[-1].phase == LOST
    assert "does the node see this folder?" in changes[-1].reason
    assert len(queue.arrays) == 2


def test_a_queue_that_does_not_answer_ends_nothing(queue, tmp_path, caplog):
    dispatch, changes = make_dispatch(queue, tmp_path)
    dispatch.start(make_specs(tmp_path), never)
    queue.is_away = True
    for _ in range(3):
        dispatch.poll()
    assert not changes
    assert "Slurm does not answer; jobs go on" in caplog.text
    queue.is_away = False
    dispatch.poll()
    assert len(changes) == 3
    assert len(queue.arrays) == 1


def test_an_end_shows_before_the_queue_is_asked_for_a_job_that_it_has_forgotten(queue, tmp_path):
    dispatch, changes = make_dispatch(queue, tmp_path)
    dispatch.start(make_specs(tmp_path, 1), never)
    queue.start("1_0")
    queue.end("1_0")
    queue.jobs.clear()
    dispatch.follow()
    assert [change.phase for change in changes] == [ENDED]


def test_what_is_done_meanwhile_gets_no_job(queue, tmp_path):
    dispatch, changes = make_dispatch(queue, tmp_path)
    specs = make_specs(tmp_path)
    dispatch.start(specs, lambda folder: folder.name == "r1")
    assert queue.submitted.keys() == {folder for folder in specs if folder.name != "r1"}
    assert [change.folder.name for change in changes] == ["r1"]


def test_no_more_jobs_than_asked_may_run_also_after_kills(queue, tmp_path):
    dispatch, _ = make_dispatch(queue, tmp_path, at_once=2)
    dispatch.start(make_specs(tmp_path, 5), never)
    assert queue.arrays[0][1:] == (5, 2)
    queue.start("1_0")
    queue.start("1_1")
    queue.end("1_0", "FAILED", by_itself=False)
    dispatch.poll()
    dispatch.poll()
    assert len(queue.arrays) == 1, "4 of the first array may use both places"
    for job_id in ("1_1", "1_2", "1_3"):
        queue.start(job_id)
        queue.end(job_id)
    dispatch.poll()
    assert [size for _, size, _ in queue.arrays] == [5, 1]


def test_a_large_grid_is_several_arrays(queue, tmp_path, monkeypatch):
    monkeypatch.setattr(follow, "LONGEST_ARRAY", 4)
    dispatch, _ = make_dispatch(queue, tmp_path)
    dispatch.start(make_specs(tmp_path, 10), never)
    assert [size for _, size, _ in queue.arrays] == [4, 4, 2]


def test_a_refusal_is_an_error_at_the_start_and_tried_again_later(queue, tmp_path, caplog):
    queue.refusal = "Slurm refuses the job: invalid partition"
    dispatch, _ = make_dispatch(queue, tmp_path)
    specs = make_specs(tmp_path, 2)
    with pytest.raises(QueueError, match="invalid partition"):
        dispatch.start(specs, never)
    queue.refusal = ""
    dispatch, _ = make_dispatch(queue, tmp_path)
    assert dispatch.start(specs, never) == 0
    queue.start("1_0")
    queue.end("1_0", "FAILED", by_itself=False)
    queue.refusal = "Slurm refuses the job: too many"
    dispatch.poll()
    dispatch.poll()
    assert "too many; it is tried again" in caplog.text
    queue.refusal = ""
    dispatch.poll()
    assert len(queue.arrays) == 2


def test_a_queue_that_does_not_answer_at_the_start_is_an_error(queue, tmp_path):
    specs = make_specs(tmp_path, 1)
    first, _ = make_dispatch(queue, tmp_path)
    first.start(specs, never)
    queue.is_away = True
    second, _ = make_dispatch(queue, tmp_path)
    with pytest.raises(QueueAwayError):
        second.start(specs, never)
