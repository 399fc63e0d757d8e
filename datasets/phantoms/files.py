"""Write phantoms as the files of a release."""

import gzip
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from datasets.base import Release, SpacingMm
from datasets.files import write_durably
from datasets.phantoms.anatomy import Patient
from datasets.phantoms.layouts import Layout
from datasets.volumes.geometry import Geometry, read_geometry

FAST_GZIP = 1  # noise hardly compresses, and a higher level takes three times as long
HOLE_RADIUS_VOX = 2.5
HOLE_VALUE = {"MRI": (220.0, 230.0, 230.0, 760.0), "CT": (10.0,)}  # fluid


def write_patient(
    patient: Patient, layout: Layout, release: Release, modality: str, root: Path, index: int
) -> None:
    """Write the files of one case: int16 volumes, a uint8 label with the release's values."""
    geometry = build_geometry(patient.classes.shape, layout.orientation(index), layout.spacing_mm)
    patient = _add_fluid_class(patient, len(release.classes) - 1, HOLE_VALUE[modality])
    values = np.array(release.label_values, dtype=np.uint8)[patient.classes]
    volumes = [np.rint(channel).astype(np.int16) for channel in patient.image]
    stored = [geometry.to_stored(volume) for volume in (*volumes, values)]
    if release.stack:
        order = np.argsort(release.stack)
        stored = [np.stack([stored[channel] for channel in order], axis=-1), stored[-1]]
    for name, volume in zip(layout.name_files(index), stored, strict=True):
        content = _encode(volume, geometry)
        if name.endswith(".gz"):
            content = gzip.compress(content, FAST_GZIP, mtime=0)
        write_durably(root / name, content)


def _add_fluid_class(patient: Patient, last_class: int, values: tuple[float, ...]) -> Patient:
    """Return the patient with a ball of fluid if the release has one more class (cyst, cavity)."""
    highest = patient.classes.max()
    if last_class == int(highest):
        return patient
    host = np.argwhere(patient.classes == highest)
    grid = np.indices(patient.classes.shape)
    centre = host[len(host) // 2].reshape(3, 1, 1, 1)
    ball = ((grid - centre) ** 2).sum(axis=0) <= HOLE_RADIUS_VOX**2
    image, classes = patient.image.copy(), patient.classes.copy()
    image[:, ball] = np.array(values, dtype=np.float32)[:, None]
    classes[ball] = last_class
    return replace(patient, image=image, classes=classes)


def build_geometry(shape: tuple[int, ...], orientation: str, spacing_mm: SpacingMm) -> Geometry:
    """Return the geometry of a file with these axis codes; its canonical array has ``shape``."""
    to_ras = nib.orientations.axcodes2ornt(tuple(orientation)).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (ras_axis, sign) in enumerate(to_ras):
        affine[ras_axis, axis] = sign * spacing_mm[2 - ras_axis]
    stored = tuple(shape[2 - ras_axis] for ras_axis in to_ras[:, 0])
    return read_geometry(Path(orientation), stored, affine)


def _encode(volume: np.ndarray, geometry: Geometry) -> bytes:
    image = nib.Nifti1Image(volume, geometry.affine)
    image.header.set_xyzt_units("mm")
    return image.to_bytes()
