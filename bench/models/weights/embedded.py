"""Weights that ship with the package, made by `bench pretrain`: half-precision safetensors, each with a card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

FOLDER = Path(__file__).parent / "embedded"
REMEDY = "install the package anew, or make the file again with `python -m bench pretrain`"


def find_embedded(name: str) -> Path:
    """Return the file of embedded weights, after comparing its SHA-256 with that on its card.

    Raises: ValueError with one sentence if the file or its card is missing, or if they differ.
    """
    file = FOLDER / f"{name}.safetensors"
    try:
        expected = json.loads(file.with_suffix(".json").read_text())["sha256"]
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"weights: the embedded '{name}' cannot be read, got {error!r} ({REMEDY})"
        ) from None
    if found != expected:
        raise ValueError(
            f"weights: the embedded '{name}' must have the SHA-256 {expected[:12]}... of its card, got {found[:12]}... "
            f"({REMEDY})"
        )
    return file
