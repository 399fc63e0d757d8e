"""The prepared arrays of every layout stay as they are, byte for byte.

A change here changes what all methods are trained on. The hashes are of small phantoms.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import datasets
from datasets.phantoms.layouts import LAYOUTS
from datasets.phantoms.write import write_phantoms
from datasets.prepared.prepare import prepare

HASHES: dict[str, str] = json.loads(Path(__file__).with_name("layout_arrays.json").read_text())
SHAPE = (16, 24, 20)


@pytest.mark.parametrize("layout", sorted({key.split()[0] for key in HASHES}))
def test_arrays_are_unchanged(layout: str, tmp_path: Path) -> None:
    write_phantoms(layout, tmp_path / "root", 2, shape=SHAPE)
    dataset = datasets.build(LAYOUTS[layout].dataset, tmp_path / "root")
    found = {}
    for case in prepare(dataset, dataset.find_cases(), tmp_path / "cache", jobs=1):
        for file in sorted(case.folder.glob("*.npy")):
            digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
            found[f"{layout} {case.id} {file.name}"] = digest
    assert found == {key: value for key, value in HASHES.items() if key.split()[0] == layout}
    assert len(found) >= 6
