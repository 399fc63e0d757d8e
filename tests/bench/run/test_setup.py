"""Which ending an exception stands for."""

import pytest
import torch

from bench.run.setup import DONE, ending_of
from bench.run.training.loop import DivergedError
from methods.base import MissingRole
from reports.records.run import Status


def end_with(error):
    try:
        raise error
    except Exception as caught:
        return ending_of(caught, "cpu")


@pytest.mark.parametrize(
    ("error", "status", "reason", "has_traceback"),
    [
        (MissingRole("no qkv"), Status.SKIPPED, "no qkv", False),
        (DivergedError("the loss is nan"), Status.DIVERGED, "the loss is nan", False),
        (torch.OutOfMemoryError("Tried to allocate 2.00 GiB."), Status.OOM, "out of memory", True),
        (ValueError("no case"), Status.FAILED, "ValueError: no case", True),
    ],
)
def test_an_ending_names_its_status_and_reason(error, status, reason, has_traceback):
    ending = end_with(error)
    assert ending.status is status
    assert ending.reason.startswith(reason)
    assert ("end_with" in ending.traceback) == has_traceback


def test_what_is_done_has_no_reason():
    assert (DONE.status, DONE.reason, DONE.traceback) == (Status.DONE, "", "")
