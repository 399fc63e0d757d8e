"""Chunks of slices are as large as the memory allows."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from lightning_fabric import Fabric

from bench.run import chunks
from bench.run.cases import open_data
from bench.run.chunks import (
    MARGIN,
    StepBytes,
    choose_execution,
    choose_slices,
    count_step,
    estimate_step,
)
from bench.run.inference.room import Room
from bench.specs.protocol import override
from bench.specs.run import Means
from methods.execution import PLAIN, Execution

STEP = StepBytes(n_slices=512, whole=512 * 100 + 1000, half=256 * 100 + 1000)
TO_CHOOSE = Execution(checkpointing=True, slices_per_chunk=None)


def need(n_slices: int) -> int:
    """Return what a step takes with so many slices in a chunk, and the margin."""
    return round(MARGIN * (n_slices * 100 + 1000)) + 1


@pytest.mark.parametrize(
    ("free", "size"),
    [
        (need(512), 0),  # all
        (need(511), 256),  # two chunks of one size rather than 511 and 1
        (need(256), 256),
        (need(255), 171),  # three
        (need(100), 86),  # six
        (need(16), 16),
        (need(5), 16),  # no smaller ones
        (0, 16),
    ],
)
def test_a_chunk_is_as_large_as_fits(free: int, size: int) -> None:
    assert choose_slices(STEP, free) == size


def test_chunks_that_save_nothing_are_not_made_smaller_than_the_least() -> None:
    assert choose_slices(StepBytes(64, 1000, 1000), 500) == 16
    assert choose_slices(StepBytes(8, 1000, 1000), 500) == 8
    assert choose_slices(StepBytes(1, 1000, 0), 500) == 1


def test_what_is_chosen_takes_no_more_than_there_is(make_run) -> None:
    spec = make_run("full")
    spec = replace(spec, protocol=override(spec.protocol, "data.patch=32,32,32"))
    info, plain = open_data(spec).info, Execution(checkpointing=True)
    step = count_step(spec, info, plain, n_devices=1)
    assert step.n_slices == 64
    assert step.half < step.whole == estimate_step(spec, info, plain, (32, 32, 32), 2)
    free = round(MARGIN * (step.half + step.whole) / 2)
    size = choose_slices(step, free)
    assert 16 <= size < 64
    chosen = replace(plain, slices_per_chunk=size)
    assert MARGIN * estimate_step(spec, info, chosen, (32, 32, 32), 2) <= free
    shared = count_step(spec, info, plain, n_devices=2)
    assert shared.n_slices == 32
    assert shared.whole < step.whole


@pytest.fixture
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def test_a_cpu_takes_all_slices_at_once(make_run, fabric: Fabric) -> None:
    spec = make_run()
    chosen = choose_execution(spec, open_data(spec).info, Means(TO_CHOOSE), fabric)
    assert chosen == Execution(checkpointing=True, slices_per_chunk=0)


def test_a_size_that_was_given_stays(make_run, fabric: Fabric, monkeypatch) -> None:
    monkeypatch.setattr(chunks, "find_room", lambda device: Room(device, 1))
    spec = make_run()
    info = open_data(spec).info
    for asked in (PLAIN, Execution(True, 0), Execution(True, 3)):
        assert choose_execution(spec, info, Means(asked), fabric) == asked


def test_a_gpu_takes_what_fits_which_is_said(make_run, fabric: Fabric, monkeypatch, caplog) -> None:
    monkeypatch.setattr(chunks, "find_room", lambda device: Room(device, 2**20))
    spec = make_run()
    spec = replace(spec, protocol=override(spec.protocol, "data.patch=32,32,32"))
    with caplog.at_level(logging.INFO):
        chosen = choose_execution(spec, open_data(spec).info, Means(TO_CHOOSE), fabric)
    assert chosen == Execution(checkpointing=True, slices_per_chunk=16)
    (record,) = caplog.records
    assert record.message.startswith("checkpointing: 16 of 64 slices at once (a step with all ")
    assert record.message.endswith("in fp32, 1 are free)")


def test_a_method_that_looks_at_numbers_takes_all_slices(
    make_run, fabric: Fabric, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(chunks, "find_room", lambda device: Room(device, 2**20))
    spec = make_run("conv_lora")
    with caplog.at_level(logging.INFO):
        chosen = choose_execution(spec, open_data(spec).info, Means(TO_CHOOSE), fabric)
    assert chosen.slices_per_chunk == 0
    assert "all slices at once (memory was not counted: " in caplog.text


def test_what_was_chosen_is_on_record(make_run, prepared, tmp_path, monkeypatch) -> None:
    from bench.run.execute import execute_run
    from bench.specs.run import Place

    def choose(*_: object) -> Execution:
        return Execution(True, 3)

    monkeypatch.setattr("bench.run.setup.choose_execution", choose)
    place = Place(tmp_path, prepared, "cpu", Means(TO_CHOOSE))
    result = execute_run(make_run("linear"), place, lambda *message: None)
    assert result.reload_max_abs_diff == 0, result.traceback
    assert result.provenance["slices_per_chunk"] == 3
    assert result.provenance["checkpointing"] is True
    assert result.provenance["compiled"] is False
