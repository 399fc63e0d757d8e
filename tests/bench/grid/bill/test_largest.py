"""The largest patch and batch that fit."""

from dataclasses import replace

import pytest

from bench.grid.bill import largest
from bench.grid.bill.largest import find_largest, find_last, list_patches
from bench.run.cases import open_data
from bench.run.chunks.estimate import MARGIN, estimate_step
from methods.execution import PLAIN, Execution


@pytest.mark.parametrize("last", [-1, 0, 3, 9])
def test_the_last_that_holds_is_found(last):
    assert find_last(10, lambda index: index <= last) == (None if last < 0 else last)


def test_patches_keep_their_proportions(make_run):
    patches = list_patches(make_run())
    assert patches[:3] == [(2, 16, 16), (4, 32, 32), (6, 48, 48)]
    assert patches[-1] == (64, 512, 512)


def test_what_is_found_fits_and_the_next_does_not(make_run):
    spec = make_run("lora")
    info = open_data(spec).info
    limit = 64 * 2**20
    found = find_largest(spec, info, PLAIN, limit)
    patches = list_patches(spec)
    following = patches[patches.index(found.patch) + 1]
    assert MARGIN * estimate_step(spec, info, PLAIN, found.patch, 2) <= limit
    assert MARGIN * estimate_step(spec, info, PLAIN, following, 2) > limit
    assert found.patch_mib <= 64
    patch = spec.protocol.data.patch
    assert MARGIN * estimate_step(spec, info, PLAIN, patch, found.batch) <= limit
    assert MARGIN * estimate_step(spec, info, PLAIN, patch, found.batch + 1) > limit


def test_nothing_fits_into_nothing(make_run):
    spec = make_run("linear")
    found = find_largest(spec, open_data(spec).info, PLAIN, 1000)
    assert (found.patch, found.batch) == (None, 0)


def test_checkpointing_takes_less(make_run):
    spec = make_run("full")
    info = open_data(spec).info
    saving = Execution(checkpointing=True)
    patch = (8, 64, 64)
    assert estimate_step(spec, info, saving, patch, 2) < estimate_step(spec, info, PLAIN, patch, 2)


def test_a_backbone_without_the_role_is_said(make_run, monkeypatch):
    spec = make_run()

    def refuse(*arguments):
        raise largest.MissingRole("needs role 'prompt'")

    monkeypatch.setattr(largest, "estimate_step", refuse)
    assert "prompt" in find_largest(spec, open_data(spec).info, PLAIN, 10**9).reason


def test_a_larger_batch_takes_more(make_run):
    spec = replace(make_run("lora"))
    info = open_data(spec).info
    one, two = (estimate_step(spec, info, PLAIN, (4, 32, 32), batch) for batch in (1, 2))
    assert one < two < 2 * one
