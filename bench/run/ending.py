"""How a run or a tuning trial ends."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from bench.cost.memory import describe_out_of_memory, is_out_of_memory
from bench.run.training import DivergedError
from methods.base import MissingRole
from reports.records.run import Status


@dataclass(frozen=True)
class Ending:
    """How something ended that was to be trained."""

    status: Status
    reason: str = ""  # one sentence; empty when done
    traceback: str = ""  # of what was not foreseen: a failure, or too little memory


DONE = Ending(Status.DONE)


def ending_of(error: Exception, device: str) -> Ending:
    """Return the ending that an exception stands for.

    A method that the backbone cannot host is ``skipped``, a loss that is no number ``diverged``,
    too little memory ``oom``, any other exception ``failed``. Call it where it is caught.
    """
    if isinstance(error, MissingRole):
        return Ending(Status.SKIPPED, str(error))
    if isinstance(error, DivergedError):
        return Ending(Status.DIVERGED, str(error))
    if is_out_of_memory(error):
        reason = describe_out_of_memory(error, device)
        return Ending(Status.OOM, reason, traceback.format_exc())
    return Ending(Status.FAILED, f"{type(error).__name__}: {error}", traceback.format_exc())
