"""Which ending an exception stands for."""

import pytest
import torch

from bench.run.setup import DONE, ending_of, set_up
from bench.run.training.reached import DivergedError
from bench.specs.protocol import override
from bench.specs.run import Place
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


def test_a_precision_that_the_device_replaces_is_refused_before_training(
    make_run, prepared, tmp_path
):
    spec = make_run(protocol=override(make_run().protocol, "train.precision=16-mixed"))
    rule = "train.precision: must be one that the device has, got 16-mixed, in whose place cpu"
    with (
        pytest.warns(UserWarning, match="not supported on CPU"),
        pytest.raises(ValueError, match=rule),
    ):
        set_up(spec, Place(tmp_path, prepared, "cpu"))
