"""What a run trained, as one safetensors file that names what it belongs to.

The frozen tensors are not stored: they are loaded or drawn again. Reading the file runs no code.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bench.models.delta import delta_state, frozen_state, hash_tensors
from bench.models.segmenter import Segmenter
from bench.specs.protocol import override
from bench.specs.run import DELTA_FILE, RunSpec
from datasets.base import DatasetInfo
from datasets.files import new_file

FORMAT, FORMAT_VERSION = "medtuning-delta", 1


class DeltaError(ValueError):
    """A stored delta cannot be used."""


@dataclass(frozen=True)
class DeltaHeader:
    """What a delta belongs to."""

    run_id: str
    spec: RunSpec
    dataset: DatasetInfo
    weights_sha256: str  # of the pre-trained file; empty for random weights
    frozen_sha256: str  # of the frozen tensors, which are not stored
    delta_sha256: str  # of the stored tensors


def write_delta(folder: Path, model: Segmenter, spec: RunSpec, dataset: DatasetInfo) -> str:
    """Write the delta into a run's folder, as a whole or not at all; return its tensors' hash."""
    state = {name: tensor.cpu().contiguous() for name, tensor in delta_state(model).items()}
    frozen, stored = hash_tensors(frozen_state(model)), hash_tensors(state)
    header = DeltaHeader(spec.run_id, spec, dataset, model.weights_sha256, frozen, stored)
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION)}
    metadata["header"] = _adapter().dump_json(header).decode()
    target = folder / DELTA_FILE
    with new_file(target) as unfinished, naming_the_disk(target):
        save_file(state, unfinished, metadata)
    return header.delta_sha256


def read_delta(folder: Path) -> tuple[DeltaHeader, dict[str, torch.Tensor]]:
    """Return what a run's folder holds of the network that it trained.

    Raises: DeltaError if there is no such file, or if it is damaged or of another format.
    """
    path = folder / DELTA_FILE
    if not path.is_file():
        hint = "got no such file (has the run ended?)"
        raise DeltaError(f"delta: {folder} must hold {DELTA_FILE}, {hint}")
    try:
        with safe_open(path, framework="pt") as file:
            header = _read_header(path, file.metadata() or {})
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        cause = " ".join(str(error).split())[:120]
        raise DeltaError(f"delta: {path} is truncated or damaged ({cause})") from None
    found, expected = hash_tensors(state), header.delta_sha256
    if found != expected:
        text = f"its tensors must hash to {expected[:12]}, got {found[:12]}"
        raise DeltaError(f"delta: {path} is damaged: {text}")
    return header, state


def _read_header(path: Path, metadata: dict[str, str]) -> DeltaHeader:
    if metadata.get("format") != FORMAT:
        rule = "must be a delta of this benchmark, got a safetensors file of another origin"
        raise DeltaError(f"delta: {path} {rule}")
    version = metadata.get("format_version")
    if version != str(FORMAT_VERSION):
        rule = f"must be of format version {FORMAT_VERSION}, got {version} (repeat the run)"
        raise DeltaError(f"delta: {path} {rule}")
    text = metadata.get("header", "")
    try:
        header = _adapter().validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "header"
        raise DeltaError(f"delta: {path} has damaged metadata: {where}: {first['msg']}") from None
    if '"prefix_tokens"' in text:
        return header
    # written before there was that setting: no network had a class or register token
    protocol = override(header.spec.protocol, "model.prefix_tokens=drop")
    return replace(header, spec=replace(header.spec, protocol=protocol))


@contextmanager
def naming_the_disk(target: Path) -> Iterator[None]:
    """Raise the error of the system that safetensors tells in its own words."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(target)) from None


@cache
def _adapter() -> TypeAdapter[DeltaHeader]:
    return TypeAdapter(DeltaHeader)
