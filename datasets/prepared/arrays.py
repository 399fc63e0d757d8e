"""Write the arrays of one prepared case."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from datasets.base import IGNORED_CLASS, Case, DataError, DatasetInfo
from datasets.files import write_durably
from datasets.prepared.case import FOREGROUND, IMAGE, LABEL, RECORD, REFERENCE, SAMPLE
from datasets.prepared.frame import SLICES_AT_ONCE, Frame, place_frame
from datasets.prepared.integrity import FILES, Checksum
from datasets.prepared.intensity import find_body, scale_mri, to_int16
from datasets.prepared.keys import PREPARATION_VERSION, Preparation
from datasets.volumes.geometry import Geometry, is_spacing_known
from datasets.volumes.reading import read_image, read_label

MAX_FOREGROUND = 10_000  # voxels kept of each class, for patches, and of all, for a window


def write_case(info: DatasetInfo, case: Case, settings: Preparation, folder: Path) -> None:
    """Write the files of a prepared case; raise DataError if a file of the case is unusable."""
    is_ct = info.modality == "CT"
    image, geometry = read_image(case)
    spacing_known = is_spacing_known(case, geometry)
    if settings.spacing_mm and not spacing_known:
        raise DataError(
            f"{info.name}: case {case.id} cannot be resampled, its header does not tell the "
            "spacing (leave data.spacing_mm alone, or the case out with data.exclude)"
        )
    body = find_body(image, is_ct=is_ct) if settings.crop else None
    frame = place_frame(geometry, body, settings.spacing_mm)
    del body
    if not is_ct:
        scale_mri(image)
    arrays = ArrayFolder(folder, f"{info.name}: case {case.id}")
    _write_image(arrays, frame, image, is_ct=is_ct)
    del image
    n_foreground: list[int] = []
    if case.label is not None:
        n_foreground = write_label(info, case, geometry, frame, arrays)
        if is_ct:
            _write_sample(arrays)
    record = {
        "dataset": info.name,
        "version": PREPARATION_VERSION,
        "id": case.id,
        "patient": case.patient,
        "source": str(case.files[0].absolute()),
        "settings": asdict(settings),
        "spacing_known": spacing_known,
        "n_foreground": n_foreground,
        **frame.to_record(),
        FILES: {name: checksum.to_record() for name, checksum in arrays.checksums.items()},
    }
    write_durably(folder / RECORD, json.dumps(record, indent=1))


@dataclass(frozen=True)
class ArrayFolder:
    """The folder of a case that is being prepared, and the checksums of its arrays so far."""

    path: Path
    case: str  # how messages name it
    checksums: dict[str, Checksum] = field(default_factory=dict)

    def save(self, name: str, array: np.ndarray) -> None:
        blocks = (np.ascontiguousarray(part).tobytes() for part in array)
        self.write(name, array.shape, array.dtype, blocks)

    def write(
        self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Iterator[bytes]
    ) -> None:
        """Write a .npy file from the bytes of its values."""
        header = BytesIO()
        descr = np.lib.format.dtype_to_descr(dtype)
        facts = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, facts)
        checksum = Checksum()
        content = map(checksum.add, chain([header.getvalue()], blocks))
        write_durably(self.path / name, content)
        self.checksums[name] = checksum


def _write_image(folder: ArrayFolder, frame: Frame, image: np.ndarray, *, is_ct: bool) -> None:
    """Write the box of each channel on the prepared grid, some slices at a time."""
    dtype = np.dtype(np.int16 if is_ct else np.float16)

    def iter_blocks() -> Iterator[bytes]:
        for channel in image:
            volume = frame.resample_image(channel)
            for first in range(0, frame.shape[0], SLICES_AT_ONCE):
                slab = volume[first : first + SLICES_AT_ONCE]
                slab = to_int16(slab) if is_ct else slab.astype(dtype)
                if not np.isfinite(slab).all():
                    rule = "intensities must be finite once they are scaled"
                    raise DataError(f"{folder.case}: {rule} (export the volume again)")
                yield np.ascontiguousarray(slab).tobytes()

    folder.write(IMAGE, (len(image), *frame.shape), dtype, iter_blocks())


def write_label(
    info: DatasetInfo, case: Case, geometry: Geometry, frame: Frame, folder: ArrayFolder
) -> list[int]:
    """Write classes and foreground voxels; return the number of the latter by class."""
    whole = read_label(case, info, geometry)
    label = frame.resample_classes(whole)
    voxels = [_sample_voxels(label == index) for index in range(1, len(info.classes))]
    folder.save(LABEL, label)
    folder.save(FOREGROUND, np.concatenate(voxels))
    if not np.array_equal(frame.restore(label), whole):
        folder.save(REFERENCE, whole)
    return list(map(len, voxels))


def _write_sample(folder: ArrayFolder) -> None:
    """Write the Hounsfield units of foreground voxels, to which a window can be fitted."""
    image, label = (np.load(folder.path / name, mmap_mode="r") for name in (IMAGE, LABEL))
    d, h, w = _sample_voxels((label > 0) & (label != IGNORED_CLASS)).T
    folder.save(SAMPLE, image[:, d, h, w])


def _sample_voxels(mask: np.ndarray) -> np.ndarray:
    """Return at most `MAX_FOREGROUND` voxels of a mask, spread evenly over all; int32 (n, 3)."""
    flat = np.flatnonzero(mask)
    if len(flat) > MAX_FOREGROUND:
        flat = flat[np.linspace(0, len(flat) - 1, MAX_FOREGROUND).astype(np.int64)]
    return np.stack(np.unravel_index(flat, mask.shape), axis=1).astype(np.int32)
