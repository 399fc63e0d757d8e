"""Chunks of slices are as large as the memory allows."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
from lightning_fabric import Fabric

from bench.run.cases import open_data
from bench.run.chunks import choice, rehearsal
from bench.run.chunks.choice import choose_execution, choose_slices, shrink
from bench.run.chunks.estimate import estimate_step
from bench.run.inference.room import Room
from bench.specs.protocol import override
from bench.specs.run import Means
from methods.execution import PLAIN, Execution

TO_CHOOSE = Execution(checkpointing=True, slices_per_chunk=None)


def need(n_slices: int) -> int:
    """Return the bytes of a step with so many slices in a chunk."""
    return n_slices * 100 + 1000


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
    assert choose_slices(512, need, free) == size


@pytest.mark.parametrize(("n_slices", "size"), [(64, 16), (17, 9), (16, 16), (8, 8), (1, 1)])
def test_chunks_that_save_nothing_have_the_least_size(n_slices: int, size: int) -> None:
    assert choose_slices(n_slices, lambda size: 1000, 500) == size


def test_one_count_is_enough_where_all_fits() -> None:
    counted = []

    def count(size: int) -> float:
        counted.append(size)
        return 1000.0

    assert choose_slices(64, count, 1000) == 0
    assert counted == [64]


def test_what_is_chosen_takes_no_more_than_there_is(make_run) -> None:
    spec = make_run("full")
    info, plain = open_data(spec).info, Execution(checkpointing=True)

    def count(size: int) -> float:
        return estimate_step(spec, info, replace(plain, slices_per_chunk=size), (32, 32, 32), 2)

    free = round((count(32) + count(64)) / 2)
    size = choose_slices(64, count, free)
    assert 16 <= size < 64
    assert count(size) <= free < count(64)


@pytest.fixture
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def test_a_cpu_takes_all_slices_at_once(make_run, fabric: Fabric) -> None:
    spec = make_run()
    chosen = choose_execution(spec, open_data(spec).info, Means(TO_CHOOSE), fabric)
    assert chosen == Execution(checkpointing=True, slices_per_chunk=0)


def test_a_size_that_was_given_stays(make_run, fabric: Fabric, monkeypatch) -> None:
    monkeypatch.setattr(choice, "find_room", lambda device: Room(device, 1))
    spec = make_run()
    info = open_data(spec).info
    for asked in (PLAIN, Execution(True, 0), Execution(True, 3)):
        assert choose_execution(spec, info, Means(asked), fabric) == asked


def test_a_gpu_takes_what_fits_which_is_said(make_run, fabric: Fabric, monkeypatch, caplog) -> None:
    monkeypatch.setattr(choice, "find_room", lambda device: Room(device, 2**20))
    spec = make_run()
    spec = replace(spec, protocol=override(spec.protocol, "data.patch=32,32,32"))
    with caplog.at_level(logging.INFO):
        chosen = choose_execution(spec, open_data(spec).info, Means(TO_CHOOSE), fabric)
    assert chosen == Execution(checkpointing=True, slices_per_chunk=16)
    (record,) = caplog.records
    assert record.message == "checkpointing: 16 of 64 slices at once (1 MiB are free)"


def test_a_method_that_cannot_be_counted_takes_all_slices(
    make_run, fabric: Fabric, monkeypatch, caplog
) -> None:
    def refuse(*_: object) -> int:
        raise NotImplementedError("aten::nonzero: no kernel for meta\nand more")

    monkeypatch.setattr(choice, "find_room", lambda device: Room(device, 2**20))
    monkeypatch.setattr(choice, "estimate_step", refuse)
    spec = make_run()
    with caplog.at_level(logging.INFO):
        chosen = choose_execution(spec, open_data(spec).info, Means(TO_CHOOSE), fabric)
    assert chosen.slices_per_chunk == 0
    (record,) = caplog.records
    reason = "memory was not counted: aten::nonzero: no kernel for meta"
    assert record.message == f"checkpointing: all slices at once ({reason})"


@pytest.mark.parametrize(
    ("start", "most", "tried"),
    [
        (0, 64, [0]),
        (0, 20, [0, 32, 16]),
        (50, 30, [50, 25]),
        (17, 3, [17, 16]),  # no smaller ones, even if they do not fit
        (5, 3, [5]),
    ],
)
def test_chunks_are_halved_until_a_step_fits(start: int, most: int, tried: list[int]) -> None:
    seen = []

    def is_enough(execution: Execution) -> bool:
        seen.append(execution.slices_per_chunk)
        return (execution.slices_per_chunk or 64) <= most

    found = shrink(Execution(True, start), 64, is_enough)
    assert seen == tried
    assert found == Execution(True, tried[-1])


def test_what_cannot_be_counted_is_tried_on_the_device(
    make_run, fabric: Fabric, monkeypatch, caplog
) -> None:
    def refuse(*_: object) -> int:
        raise NotImplementedError("aten::nonzero: no kernel for meta")

    def carry_out(spec: object, info: object, execution: Execution, fabric: object) -> None:
        if execution.slices_per_chunk != 16:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(choice, "find_room", lambda device: Room(device, 2**20))
    monkeypatch.setattr(choice, "estimate_step", refuse)
    monkeypatch.setattr(rehearsal, "_carry_out", carry_out)
    spec = make_run()
    spec = replace(spec, protocol=override(spec.protocol, "data.patch=32,32,32"))
    with caplog.at_level(logging.INFO):
        chosen = choose_execution(spec, open_data(spec).info, Means(TO_CHOOSE), fabric)
    assert chosen.slices_per_chunk == 16
    assert [record.message for record in caplog.records[1:]] == [
        "checkpointing: 64 slices at once do not fit: 32 are tried",
        "checkpointing: 32 slices at once do not fit: 16 are tried",
    ]


def test_another_error_than_too_little_memory_is_raised(make_run, fabric, monkeypatch) -> None:
    def carry_out(*_: object) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(rehearsal, "_carry_out", carry_out)
    spec = make_run()
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        rehearsal.fits(spec, open_data(spec).info, PLAIN, fabric)


def test_a_rehearsal_draws_no_random_numbers_of_the_run(make_run, fabric: Fabric) -> None:
    spec = make_run("lora")
    before = torch.get_rng_state()
    assert rehearsal.fits(spec, open_data(spec).info, Execution(True, 3), fabric)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_goes_on_with_the_chunks_that_it_has_begun_with(
    make_run, fabric: Fabric, monkeypatch
) -> None:
    monkeypatch.setattr(choice, "find_room", lambda device: Room(device, 2**40))
    monkeypatch.setattr(choice, "fits", lambda spec, info, execution, fabric: True)
    spec = make_run()
    info = open_data(spec).info
    for kept in (0, 3):
        assert choose_execution(spec, info, Means(TO_CHOOSE), fabric, kept).slices_per_chunk == kept
    given = Execution(True, 5)
    assert choose_execution(spec, info, Means(given), fabric, kept=3) == given


def test_chunks_are_not_chosen_where_they_change_what_a_method_computes(
    make_run, fabric: Fabric, monkeypatch
) -> None:
    monkeypatch.setattr(choice, "find_room", lambda device: Room(device, 1))
    spec = make_run("conv_lora")
    chosen = choose_execution(spec, open_data(spec).info, Means(TO_CHOOSE), fabric)
    assert chosen.slices_per_chunk == 0


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


def test_a_run_that_tries_a_step_first_has_the_results_of_any_other(
    make_run, prepared, tmp_path, monkeypatch
) -> None:
    from bench.run.execute import execute_run
    from bench.specs.run import Place

    spec = make_run("med_adapter")
    given = Means(Execution(True, 0))
    one = execute_run(spec, Place(tmp_path / "one", prepared, "cpu", given), lambda *message: None)
    monkeypatch.setattr(choice, "find_room", lambda device: Room(device, 2**40))
    means = Means(TO_CHOOSE)
    two = execute_run(spec, Place(tmp_path / "two", prepared, "cpu", means), lambda *message: None)
    assert two.provenance["slices_per_chunk"] == 0, two.traceback
    assert (two.cases, two.curve, two.chosen_sha256) == (one.cases, one.curve, one.chosen_sha256)


class Kept:
    """What a run looks into for its checkpoint, and where it leaves its chunks for the next one."""

    found = None

    def __init__(self, slices_per_chunk: int | None) -> None:
        self.slices_per_chunk = slices_per_chunk

    def open(self, owner: object) -> None:
        pass


@pytest.mark.parametrize(("kept", "expected"), [(None, 0), (3, 3)])
def test_a_run_leaves_its_chunks_in_its_checkpoint(
    kept: int | None, expected: int, make_run, prepared, tmp_path, monkeypatch
) -> None:
    from bench.run.setup import Hooks, set_up
    from bench.specs.run import Place

    monkeypatch.setattr(choice, "find_room", lambda device: Room(device, 2**40))
    monkeypatch.setattr(choice, "fits", lambda spec, info, execution, fabric: True)
    checkpoints = Kept(kept)
    place = Place(tmp_path, prepared, "cpu", Means(TO_CHOOSE))
    setup = set_up(make_run(), place, Hooks(checkpoints=checkpoints))
    assert setup.execution.slices_per_chunk == expected
    assert checkpoints.slices_per_chunk == expected
