"""A checkpoint's file: read back bit for bit, refused by name, and not used if it is damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench.run.resume import file as files
from bench.run.resume import owner as owners
from bench.run.resume.account import Spent
from bench.run.resume.file import (
    Checkpoint,
    CheckpointError,
    Header,
    read_checkpoint,
    write_checkpoint,
)
from bench.run.resume.folder import CHECKPOINT_FILE, PREVIOUS_FILE
from bench.run.resume.owner import describe_owner
from bench.run.training.random_state import RandomState
from bench.run.training.snapshot import Position, Snapshot
from bench.specs.protocol import override
from reports.records.cost import PhaseTime
from reports.records.run import EpochRecord

RANDOM = RandomState((3, (1, 2**32 - 1), None), ("MT19937", (5, 6), 624, 0, 0.1))
CURVE = (EpochRecord(0, 1 / 3, 1e-3, None, 3e-3),)


def make_checkpoint(owner, step: int) -> Checkpoint:
    position = Position(1, 2, (0.1, 1 / 3), CURVE, None, None, step, (), 1.5, 0.25, {}, RANDOM)
    model = {
        "a.b": torch.tensor([0.1, -1e-40]),
        "index": torch.arange(0),
        "flag": torch.tensor([True]),
    }
    optimizer = {"a.b/step": torch.tensor(float(step))}
    snapshot = Snapshot(
        position, model, {"a.b": torch.ones(2)}, optimizer, {"host": torch.zeros(1)}
    )
    spent = Spent(2.5, (PhaseTime("fit", 3, 1.0, 0.5),), None, 10.0)
    return Checkpoint(Header(owner, position, spent, ((0.5, float("nan")),), 16), snapshot)


@pytest.fixture
def owner(make_run):
    return describe_owner(make_run(), "split", "weights", "cpu")


@pytest.fixture
def written(owner, tmp_path) -> Path:
    """A folder with the checkpoints of steps 1 and 2."""
    for step in (1, 2):
        write_checkpoint(tmp_path, make_checkpoint(owner, step))
    return tmp_path


def read_step(folder: Path, owner) -> int | None:
    found = read_checkpoint(folder, owner)
    return None if found is None else found.header.position.n_steps


def test_what_was_written_is_read_back(written, owner):
    expected = make_checkpoint(owner, 2)
    found = read_checkpoint(written, owner)
    assert found is not None
    assert found.header.position == expected.header.position
    assert found.header.spent == expected.header.spent
    assert found.header.slices_per_chunk == 16
    ((first, second),) = found.header.validations
    assert (first, str(second)) == (0.5, "nan")
    for part in ("model", "best", "optimizer", "random"):
        own, other = getattr(found.snapshot, part), getattr(expected.snapshot, part)
        assert own.keys() == other.keys()
        for name in own:
            assert torch.equal(own[name], other[name])
            assert own[name].dtype == other[name].dtype


def test_there_are_two_files_and_no_more(written, owner):
    write_checkpoint(written, make_checkpoint(owner, 3))
    assert {file.name for file in written.iterdir()} == {CHECKPOINT_FILE, PREVIOUS_FILE}
    assert read_step(written, owner) == 3


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


def spoil_header(content: bytes) -> bytes:
    return content.replace(b'\\"n_steps\\":2', b'\\"n_steps\\":x')


@pytest.mark.parametrize("damage", [cut, flip, spoil_header, lambda content: b""])
def test_a_damaged_file_gives_way_to_the_one_before(written, owner, damage, caplog):
    file = written / CHECKPOINT_FILE
    changed = damage(file.read_bytes())
    assert changed != file.read_bytes()
    file.write_bytes(changed)
    assert read_step(written, owner) == 1
    assert f"{file} is damaged (" in caplog.text
    assert "the run goes on from the one before" in caplog.text
    write_checkpoint(written, make_checkpoint(owner, 3))
    (written / CHECKPOINT_FILE).write_bytes(b"")
    assert read_step(written, owner) == 1  # the damaged one has not taken its place


def test_without_another_one_the_run_begins_anew(written, owner, caplog):
    for name in (CHECKPOINT_FILE, PREVIOUS_FILE):
        (written / name).write_bytes(cut((written / name).read_bytes()))
    assert read_step(written, owner) is None
    assert "the run begins anew" in caplog.text


def test_a_file_of_another_origin_is_not_used(written, owner, caplog):
    save_file({"x": torch.zeros(1)}, written / CHECKPOINT_FILE)
    assert read_step(written, owner) == 1
    assert "it is no checkpoint of this program" in caplog.text


def test_a_kill_between_the_files_leaves_the_one_before(written, owner):
    (written / CHECKPOINT_FILE).unlink()
    assert read_step(written, owner) == 1


def test_a_checkpoint_of_another_format_is_refused(written, owner, monkeypatch):
    monkeypatch.setattr(files, "FORMAT_VERSION", "2")
    with pytest.raises(CheckpointError, match="must be of format version 2, got 1 "):
        read_checkpoint(written, owner)


CHANGES = {
    "protocol": (lambda spec: replace(spec, protocol=override(spec.protocol, "train.lr=0.003")),
                 "another spec: protocol.train.lr was 0.01 and is 0.003"),
    "method": (lambda spec: replace(spec, method=replace(spec.method, name="linear")),
               "another spec: method was lora and is linear"),
    "fold": (lambda spec: replace(spec, fold=1), "another spec: fold was 0 and is 1"),
    "seed": (lambda spec: replace(spec, seed=7), "another spec: seed was 0 and is 7"),
    "tuned": (lambda spec: replace(spec, chosen=(("train.lr", "0.1"),)),
              "another spec: chosen.train.lr was not set and is 0.1"),
    "data": (lambda spec: replace(spec, fingerprint="def"),
             "another data: fingerprint was abc and is def"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_belongs_to_another_run_is_refused_by_name(written, make_run, change):
    vary, words = CHANGES[change]
    other = describe_owner(vary(make_run()), "split", "weights", "cpu")
    with pytest.raises(CheckpointError) as refused:
        read_checkpoint(written, other)
    assert f"checkpoint: {CHECKPOINT_FILE} is of {words} (" in str(refused.value)
    assert "remove it from the run's folder to begin the run anew" in str(refused.value)
    assert (written / CHECKPOINT_FILE).is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("other", "weights", "cpu"), "another data: split was split and is other"),
        (("split", "other", "cpu"), "another data: weights was weights and is other"),
        (("split", "weights", "cuda"), "another spec: device was cpu and is cuda"),
    ],
    ids=["split", "weights", "device"],
)
def test_other_cases_weights_and_devices_are_refused(written, make_run, arguments, words):
    with pytest.raises(CheckpointError, match=words):
        read_checkpoint(written, describe_owner(make_run(), *arguments))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("hash_code", lambda: "x", "another version: code was"),
        ("PROTOCOL_VERSION", 99, "another version: protocol was 3 and is 99"),
        ("version", lambda name: "0", "another version: packages.monai was"),
    ],
)
def test_another_version_of_the_program_is_refused(
    written, make_run, monkeypatch, name, value, words
):
    monkeypatch.setattr(owners, name, value)
    with pytest.raises(CheckpointError, match=words):
        read_checkpoint(written, describe_owner(make_run(), "split", "weights", "cpu"))


def test_where_the_data_are_does_not_count(written, make_run):
    moved = replace(make_run(), root=Path("/elsewhere"), group="another command")
    assert read_step(written, describe_owner(moved, "split", "weights", "cpu")) == 2
