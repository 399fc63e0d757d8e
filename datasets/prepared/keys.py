"""Short hashes: of data, for run ids, and of a case with its settings, for the prepared arrays."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from datasets.base import Case, Dataset, SpacingMm

PREPARATION_VERSION = 3


@dataclass(frozen=True)
class Preparation:
    """The settings that prepared arrays depend on."""

    spacing_mm: SpacingMm | None = None  # None keeps each case's own
    crop: bool = True  # to the body or the brain


NATIVE = Preparation()


def fingerprint(cases: Sequence[Case], root: Path, meaning: str = "") -> str:
    """Return a short hash of ids, file names and sizes, equal for copies; voxels are not read."""
    listing = [[case.id, *_describe_files(case, root)] for case in cases]
    if meaning:
        listing.append([meaning])
    return _hash(listing)


def key_of(dataset: Dataset, case: Case, settings: Preparation) -> str:
    """Return a short hash of everything that the prepared arrays of a case depend on."""
    info = dataset.info
    facts = [
        info.name,
        info.release,
        info.modality,
        info.label_values,
        PREPARATION_VERSION,
        asdict(settings),
        _describe_files(case, dataset.root),
        case.stack,
        case.spacing_known,
        [path.stat().st_mtime_ns for path in case.files],
    ]
    if info.ignored_value is not None:
        facts.append(info.ignored_value)
    return _hash(facts)


def _describe_files(case: Case, root: Path) -> list[list[str | int]]:
    """Return role, path below the root and size of each file."""
    files = dict(case.images)
    if case.label is not None:
        files["label"] = case.label
    facts: list[list[str | int]] = []
    for role, path in files.items():
        facts.append([role, Path(os.path.relpath(path, root)).as_posix(), path.stat().st_size])
    return facts


def _hash(content: object) -> str:
    return hashlib.sha1(json.dumps(content).encode(), usedforsecurity=False).hexdigest()[:12]
