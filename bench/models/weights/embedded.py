"""Weights in the package, made by `bench pretrain`: half-precision safetensors and a card each."""

from __future__ import annotations

import json
from pathlib import Path

from bench.models.weights.checkpoints import file_sha256

FOLDER = Path(__file__).parent / "embedded"
REMEDY = "install the package anew, or make the file again with `python -m bench pretrain`"


def find_embedded(name: str) -> Path:
    """Return the file of embedded weights, after comparing its SHA-256 with that on its card.

    Raises: ValueError with one sentence if the file or its card is missing, or if they differ.
    """
    file = FOLDER / f"{name}.safetensors"
    start = f"weights: the embedded '{name}'"
    try:
        expected = json.loads(file.with_suffix(".json").read_text())["sha256"]
        found = file_sha256(file)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{start} cannot be read, got {error!r} ({REMEDY})") from None
    if found != expected:
        rule = f"must have the SHA-256 {expected[:12]}... of its card, got {found[:12]}..."
        raise ValueError(f"{start} {rule} ({REMEDY})")
    return file
