"""The on-disk layouts of the real data sets, for phantoms: file names, orientation, spacing, value types."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from datasets.base import DatasetInfo
from datasets.phantom_anatomy import Patient
from datasets.reading import Geometry, read_geometry

FAST_GZIP = 1  # noise hardly compresses, and a higher level takes thrice the time


@dataclass(frozen=True)
class Layout:
    """How the files of case ``index`` (from 0) are named and oriented."""

    files: Callable[[int], tuple[str, ...]]  # below the root; the channels in order, then the label
    orientation: Callable[[int], str]  # nibabel's axis codes of the stored array
    spacing_mm: tuple[float, float, float]  # (D, H, W)


def _name_brats(index: int) -> tuple[str, ...]:
    case = f"BraTS20_Training_{index + 1:03d}"
    return tuple(f"{case}/{case}_{role}.nii.gz" for role in ("flair", "t1ce", "t1", "t2", "seg"))


def _name_kits(index: int) -> tuple[str, ...]:
    return tuple(f"case_{index:05d}/{role}.nii.gz" for role in ("imaging", "segmentation"))


def _name_lits(index: int) -> tuple[str, ...]:
    return tuple(f"{role}-{index}.nii" for role in ("volume", "segmentation"))


DEFAULT_RELEASE = {"brats": "brats2020", "kits": "kits19", "lits": "lits"}
LAYOUTS = {
    "brats": Layout(_name_brats, lambda index: "LPS", (1.0, 1.0, 1.0)),
    "kits": Layout(_name_kits, lambda index: "IPL", (3.0, 0.78125, 0.78125)),
    "lits": Layout(_name_lits, lambda index: ("LPS", "LAS")[index % 2], (1.0, 0.765625, 0.765625)),  # the release mixes
}


def write_patient(patient: Patient, info: DatasetInfo, root: Path, index: int) -> None:
    """Write the files of one case: int16 volumes, a uint8 label with the values of the release; each appears whole."""
    layout = LAYOUTS[info.name]
    geometry = build_geometry(patient.classes.shape, layout.orientation(index), layout.spacing_mm)
    values = np.array(info.label_values, dtype=np.uint8)[patient.classes]
    volumes = [*(np.rint(channel).astype(np.int16) for channel in patient.image), values]
    for name, volume in zip(layout.files(index), volumes, strict=True):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, _encode(volume, geometry, compress=name.endswith(".gz")))


def build_geometry(shape: tuple[int, ...], orientation: str, spacing_mm: tuple[float, float, float]) -> Geometry:
    """Return the geometry of a file whose canonical array has ``shape`` (D, H, W) and whose axes have these codes."""
    to_ras = nib.orientations.axcodes2ornt(tuple(orientation))
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (ras_axis, sign) in enumerate(to_ras.astype(int)):
        affine[ras_axis, axis] = sign * spacing_mm[2 - ras_axis]
    stored = tuple(shape[2 - ras_axis] for ras_axis in to_ras[:, 0].astype(int))
    return read_geometry(Path(orientation), stored, affine)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that appears under its name only when it is complete."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)


def _encode(volume: np.ndarray, geometry: Geometry, *, compress: bool) -> bytes:
    image = nib.Nifti1Image(geometry.to_stored(volume), geometry.affine)
    image.header.set_xyzt_units("mm")
    content: bytes = image.to_bytes()
    return gzip.compress(content, FAST_GZIP, mtime=0) if compress else content
