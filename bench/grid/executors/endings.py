"""When the run of a job that ended too early is given up, and why."""

from pathlib import Path

from bench.grid.executors.ledger import Sign, Submission
from bench.grid.executors.queue import Job

MOST_ENDS = 5  # in a row that brought no newer checkpoint
MOST_UNSEEN = 2  # in a row of which a folder shows nothing at all
FINAL = {  # of these ends the next job would die as well, or somebody wants it
    "CANCELLED": "was cancelled",
    "OUT_OF_MEMORY": "needed more memory than it was given (--slurm mem=...)",
}


def describe_final_end(
    folder: Path, draft: Submission, job: Job | None, sign: Sign | None, log_file: Path
) -> str:
    """Return why a folder gets no other job, or nothing.

    Args:
        folder: in which the job worked.
        draft: of the next job.
        job: that has ended, if the queue still knows it.
        sign: that it left.
        log_file: that its output went to.
    """
    if job is not None and job.word in FINAL:
        return f"job {job.id} {FINAL[job.word]}"
    last = draft.past[-1]
    if sign is None and not log_file.is_file() and draft.ends >= MOST_UNSEEN:
        rule = f"ended {draft.ends} times without a file in {folder}"
        return f"job {last} {rule} (does the node see this folder?)"
    if draft.ends >= MOST_ENDS:
        word = f", Slurm's word is {job.word}" if job is not None else ""
        rule = f"ended {draft.ends} times in a row without getting further{word}"
        return f"job {last} {rule} (its output is in {log_file})"
    return ""
