"""Slurm's queue: jobs are submitted as arrays through submitit, and listed by squeue.

submitit pickles the function by its name and its one argument, a folder; its own record of a job is
not read. squeue knows a job for some minutes after its end. sacct is not asked, because it fails
where Slurm has no database.
"""

import shlex
import shutil
import subprocess
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench.grid.executors.options import SlurmOptions
from bench.grid.executors.queue import ENDED, QUEUED, RUNNING, Job, QueueAwayError, QueueError
from bench.specs.protocol import SpecError

ROOT = shlex.quote(str(Path(__file__).resolve().parents[3]))  # of our packages
FIND_PACKAGES = f"export PYTHONPATH={ROOT}${{PYTHONPATH:+:$PYTHONPATH}}"
EXTRA = "pip install 'medtuning-bench[slurm]'"
FORMAT = "%F|%K|%A|%j|%T|%N|%r"  # array, index, job, name, state, nodes, reason
PATIENCE_S = 60.0  # with one of Slurm's commands
PHASES = {
    **dict.fromkeys(("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD"), QUEUED),
    **dict.fromkeys(("SPECIAL_EXIT", "RESV_DEL_HOLD", "SUSPENDED", "STOPPED"), QUEUED),
    **dict.fromkeys(("RUNNING", "COMPLETING", "SIGNALING", "STAGE_OUT", "RESIZING"), RUNNING),
}
AWAY = ("Unable to contact slurm controller", "Socket timed out", "Connection refused")


def check_slurm(options: SlurmOptions) -> None:
    """Raise SpecError if jobs with these options cannot be submitted from this machine."""
    if find_spec("submitit") is None:
        rule = "needs submitit, which is not installed"
        raise SpecError(f"--executor slurm: {rule} ({EXTRA})")
    missing = [name for name in ("sbatch", "squeue", "srun") if shutil.which(name) is None]
    if missing:
        rule = f"must be given where Slurm's commands are, found no {missing[0]} on PATH"
        raise SpecError(f"--executor slurm: {rule} (use a login node of the cluster)")
    arguments = ["sbatch", "--test-only", *options.list_flags(), "--wrap=true"]
    try:
        _run(arguments)
    except QueueError as error:
        raise SpecError(f"--slurm: {error}") from None


@dataclass(frozen=True)
class SlurmQueue:
    """Jobs that call a function on a node.

    Attributes:
        folder: for what submitit writes, a folder for each array.
        options: for sbatch.
        function: takes a folder.
    """

    folder: Path
    options: SlurmOptions
    function: Callable[[str], None]

    def submit(self, folders: Sequence[Path], name: str, at_once: int | None) -> list[str]:
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        executor = SlurmExecutor(folder=self.folder / name)
        executor.update_parameters(
            job_name=name,
            time=None,  # in minutes; the site's default holds, or what the options say
            wckey=None,
            stderr_to_stdout=True,
            array_parallelism=at_once or len(folders),
            setup=[*self.options.setup, FIND_PACKAGES],
            additional_parameters=dict(self.options.flags),
        )
        try:
            jobs = executor.map_array(self.function, [str(folder) for folder in folders])
        except (FailedJobError, FailedSubmissionError) as error:
            raise _name_error(str(error)) from None
        return [job.job_id for job in jobs]

    def list_jobs(self, names: Collection[str]) -> list[Job]:
        listed = ",".join(sorted(names))
        arguments = ["--noheader", "--array", "--states=all", f"--format={FORMAT}"]
        text = _run(["squeue", *arguments, f"--name={listed}"])
        return [_read_line(line) for line in text.splitlines() if line.strip()]

    def cancel(self, job_ids: Collection[str]) -> None:
        if job_ids:
            _run(["scancel", *sorted(job_ids)])

    def find_log(self, name: str, job_id: str) -> Path:
        return self.folder / name / f"{job_id}_0_log.out"


def _read_line(line: str) -> Job:
    array, index, number, name, state, node, reason = line.strip().split("|", 6)
    is_alone = not index.isdigit()
    return Job(
        id=number if is_alone else f"{array}_{index}",
        name=name,
        index=0 if is_alone else int(index),
        phase=PHASES.get(state, ENDED),
        word=state,
        reason="" if reason == "None" else reason,
        node=node,
    )


def _run(arguments: Sequence[str]) -> str:
    """Return what one of Slurm's commands prints. Raises: QueueError, QueueAwayError."""
    try:
        done = subprocess.run(
            arguments, capture_output=True, encoding="utf-8", errors="replace", timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        raise QueueAwayError(f"{arguments[0]} did not answer within {PATIENCE_S:g} s") from None
    if done.returncode:
        raise _name_error(done.stderr)
    return done.stdout


def _name_error(text: str) -> QueueError | QueueAwayError:
    """Return an error with Slurm's own words in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    words = "; ".join(lines) or "it gave no reason"
    if any(mark in words for mark in AWAY):
        return QueueAwayError(f"Slurm does not answer: {words}")
    return QueueError(f"Slurm refuses the job: {words}")
