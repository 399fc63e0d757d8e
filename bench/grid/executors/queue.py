"""What executors need of a cluster's queue; Slurm's is in `bench.grid.executors.slurm`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

QUEUED, RUNNING, ENDED = "queued", "running", "ended"


class QueueError(ValueError):
    """The queue refuses a job; the message has its own words."""


class QueueAwayError(ValueError):
    """The queue does not answer at the moment."""


@dataclass(frozen=True)
class Job:
    """A job as the queue sees it."""

    id: str
    name: str  # of its array
    index: int
    phase: str  # QUEUED, RUNNING or ENDED
    word: str  # the queue's own, such as "TIMEOUT"
    reason: str = ""  # why it waits, or why it ended
    node: str = ""


class Queue(Protocol):
    """A cluster's queue. Each method raises QueueAwayError if it does not answer."""

    def submit(self, folders: Sequence[Path], name: str, at_once: int | None) -> list[str]:
        """Submit a job for each folder, as one array, and return their ids.

        Args:
            folders: each the only argument of its job.
            name: of the array; no other has it.
            at_once: how many of them may run at the same time; None: any number.

        Raises: QueueError if the queue refuses them.
        """

    def list_jobs(self, names: Collection[str]) -> list[Job]:
        """Return the jobs of these arrays that the queue still knows."""

    def cancel(self, job_ids: Collection[str]) -> None:
        """End jobs, also those that wait."""

    def find_log(self, name: str, job_id: str) -> Path:
        """Return the file that a job's output goes to."""
