"""A checkpoint as a file: tensors in safetensors, all else as JSON in its header.

The file before is kept, for one that turns out to be damaged. Reading a file runs no code.
"""

import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bench.run.delta_file import naming_the_disk
from bench.run.resume.account import Spent
from bench.run.resume.folder import CHECKPOINT_FILE, PREVIOUS_FILE
from bench.run.resume.owner import Owner, find_difference
from bench.run.training.snapshot import Position, Snapshot, Tensors
from datasets.files import FileError, adapter_of, new_file, parse_record
from reports.records.plain import Number

FORMAT, FORMAT_VERSION = "medtuning-checkpoint", "1"
PARTS = ("model", "best", "optimizer", "random")
AGAIN = "remove it from the run's folder to begin the run anew"

log = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """A checkpoint belongs to something else."""


class _DamageError(Exception):
    """A file cannot be read."""


@dataclass(frozen=True)
class Header:
    """What a checkpoint holds beside its tensors.

    Attributes:
        owner: what it belongs to.
        validations: the Dice of each inner validation case, at each validation so far.
        slices_per_chunk: as in `Execution`; None: the checkpoint is older than this field.
    """

    owner: Owner
    position: Position
    spent: Spent
    validations: tuple[tuple[Number, ...], ...]
    slices_per_chunk: int | None = None


@dataclass(frozen=True)
class Checkpoint:
    """What a run goes on from."""

    header: Header
    snapshot: Snapshot


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all; the one before is kept. Raises: OSError."""
    tensors = _flatten(checkpoint.snapshot)
    header = adapter_of(Header).dump_json(checkpoint.header).decode()
    metadata = {"format": FORMAT, "format_version": FORMAT_VERSION, "header": header}
    metadata["checksum"] = _compute_checksum(tensors)
    target = folder / CHECKPOINT_FILE
    if target.is_file():
        target.replace(folder / PREVIOUS_FILE)
    with new_file(target) as unfinished, naming_the_disk(target):
        save_file(tensors, unfinished, metadata)


def read_checkpoint(folder: Path, owner: Owner) -> Checkpoint | None:
    """Return the last checkpoint in a folder that can be read; None: there is none.

    A damaged one is removed, which is logged. Raises: CheckpointError if it belongs to another
    spec, other data or another version of the program.
    """
    for name in (CHECKPOINT_FILE, PREVIOUS_FILE):
        file = folder / name
        if not file.is_file():
            continue
        try:
            return _read(file, owner)
        except _DamageError as damage:
            file.unlink()
            has_other = (folder / PREVIOUS_FILE).is_file()
            way = "goes on from the one before" if has_other else "begins anew"
            log.warning("%s is damaged (%s): the run %s", file, damage, way)
    return None


def _compute_checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the CRC-32 of names and bytes."""
    found = 0
    for name in sorted(tensors):
        found = zlib.crc32(name.encode(), found)
        found = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, found)
    return str(found)


def _flatten(snapshot: Snapshot) -> dict[str, torch.Tensor]:
    """Return all tensors in host memory, as "part/name"."""
    flat = {}
    for part in PARTS:
        tensors: Tensors = getattr(snapshot, part)
        for name, tensor in tensors.items():
            flat[f"{part}/{name}"] = tensor.detach().cpu().contiguous()
    return flat


def _read(file: Path, owner: Owner) -> Checkpoint:
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            names = opened.keys()
            tensors = {name: opened.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise _DamageError(" ".join(str(error).split())[:120]) from None
    if metadata.get("format") != FORMAT:
        raise _DamageError("it is no checkpoint of this program")
    found = metadata.get("format_version")
    if found != FORMAT_VERSION:
        rule = f"must be of format version {FORMAT_VERSION}, got {found}"
        raise CheckpointError(f"checkpoint: {file.name} {rule} ({AGAIN})")
    try:
        header = parse_record(metadata.get("header", ""), Header, "its header", "write it anew")
    except FileError as error:
        raise _DamageError(str(error)) from None
    if metadata.get("checksum") != _compute_checksum(tensors):
        raise _DamageError("its tensors are not those that were written")
    difference = find_difference(header.owner, owner)
    if difference:
        hint = f"go on with what has written it, or {AGAIN}"
        raise CheckpointError(f"checkpoint: {file.name} is of {difference} ({hint})")
    parts: dict[str, dict[str, torch.Tensor]] = {part: {} for part in PARTS}
    for name, tensor in tensors.items():
        part, _, inner = name.partition("/")
        parts[part][inner] = tensor
    return Checkpoint(header, Snapshot(header.position, **parts))
