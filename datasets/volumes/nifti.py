"""NIfTI files as a stream of blocks: read to the last byte, checked on the way, never held twice.

A gzip file is read to its end, so that its checksum is compared; nibabel stops at the last voxel.
Values become float32 block by block, whatever the file stores, which keeps a float64 copy of a
large volume from ever existing.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from datasets.base import DataError

READ_ERRORS = (EOFError, zlib.error, OSError, ImageFileError, HeaderDataError)
BLOCK_BYTES = 4 << 20
SNIFF_BYTES = 1024  # of a file's content, by which nibabel tells what it is
GZIP_MAGIC, LFS_START = b"\x1f\x8b", b"version https://git-lfs"
NIFTI_STARTS = tuple(size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big"))


@dataclass(frozen=True)
class VolumeFile:
    """What the header of a readable volume says."""

    path: Path
    case: str
    shape: tuple[int, ...]  # as stored, trailing axes of one left out: three, or four
    affine: np.ndarray  # (4, 4), voxel index as stored to mm RAS
    has_orientation: bool  # the header states the affine; otherwise it is nibabel's guess
    dtype: np.dtype[Any]
    offset: int  # bytes before the first voxel
    slope: float
    intercept: float

    @property
    def is_scaled(self) -> bool:
        """Whether values are not the numbers that are stored."""
        return (self.slope, self.intercept) != (1.0, 0.0)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the values in the order of the file, flat; integers as stored, all else and scaled ones float32.

        Raises: DataError if the file ends early or is damaged, however late in it.
        """
        missing = int(np.prod(self.shape)) * self.dtype.itemsize
        step = BLOCK_BYTES // self.dtype.itemsize * self.dtype.itemsize
        with _reading(self.path, self.case), _open_stream(self.path) as stream:
            stream.seek(self.offset)
            while missing:
                content = stream.read(min(step, missing))
                if not content or len(content) % self.dtype.itemsize:
                    raise EOFError(f"{missing - len(content)} bytes of voxels are not there")
                missing -= len(content)
                yield self._convert(np.frombuffer(content, dtype=self.dtype))
            while stream.read(BLOCK_BYTES):  # to the end, where gzip keeps the checksum
                pass

    def _convert(self, block: np.ndarray) -> np.ndarray:
        if block.dtype.kind in "iu" and not self.is_scaled:
            return block
        with np.errstate(over="ignore"):  # beyond float32 is infinite, which the reader refuses
            values = block.astype(np.float32)
        return (
            values * np.float32(self.slope) + np.float32(self.intercept)
            if self.is_scaled
            else values
        )


def open_volume(path: Path, case: str) -> VolumeFile:
    """Read the header of a volume of a case.

    Raises: DataError naming the file if it is no NIfTI volume of real numbers with at least three
    axes.
    """
    where = f"{path}: file of case {case}"
    with _reading(path, case):
        image = nib.load(path)
        proxy = image.dataobj
    if not hasattr(image.header, "get_qform"):
        raise DataError(f"{where} must be NIfTI, got {type(image).__name__} (convert it)")
    if proxy.offset < int(image.header["sizeof_hdr"]):
        raise DataError(
            f"{where} must hold its voxels after the header, got byte {proxy.offset} (export it again)"
        )
    dtype = np.dtype(proxy.dtype)
    if dtype.kind not in "iufb":
        kind = "complex numbers" if dtype.kind == "c" else "colours"
        raise DataError(
            f"{where} must hold real numbers, got {kind} ({dtype}; export one number a voxel)"
        )
    shape = tuple(int(size) for size in proxy.shape)
    while len(shape) > 3 and shape[-1] == 1:  # some tools leave trailing axes of one
        shape = shape[:-1]
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise DataError(f"{where} must have 3 axes, got shape {shape}")
    codes = [int(image.header.get_sform(coded=True)[1]), int(image.header.get_qform(coded=True)[1])]
    affine = np.asarray(image.affine, dtype=np.float64)
    return VolumeFile(
        path,
        case,
        shape,
        affine,
        any(codes),
        dtype,
        int(proxy.offset),
        float(proxy.slope),
        float(proxy.inter),
    )


def _open_stream(path: Path) -> IO[bytes]:
    # a gzip file reads as bytes do, but typeshed does not count it as IO[bytes]
    return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")  # type: ignore[return-value]


@contextmanager
def _reading(path: Path, case: str) -> Iterator[None]:
    try:
        yield
    except READ_ERRORS as error:
        raise DataError(f"{path}: file of case {case} {_explain(path, error)}") from error


def _explain(path: Path, error: BaseException) -> str:
    """Say in words why a file cannot be read, from its first bytes and the error."""
    if not path.exists():
        target = (
            f"is a link to {path.readlink()}, which does not exist"
            if path.is_symlink()
            else "does not exist"
        )
        return f"{target} (mend the link or fetch the file)"
    with path.open("rb") as stream:
        start = stream.read(64)
    size = f"{path.stat().st_size} bytes"
    packed = start.startswith(GZIP_MAGIC)
    if not start:
        return "is empty, 0 bytes (fetch the file again)"
    if start.startswith(LFS_START):
        return f"is a Git LFS pointer of {size}, not the volume (run `git lfs pull`)"
    if start.lstrip().startswith(b"<"):
        return f"is a web page of {size}, not a volume (the download did not go through)"
    if path.name.endswith(".gz") and start.startswith(NIFTI_STARTS):
        return "is named .gz but not compressed (rename it to .nii)"
    if not path.name.endswith(".gz") and packed:
        return "is compressed but not named .gz (rename it to .nii.gz)"
    if isinstance(error, ImageFileError):  # nibabel knows only that it cannot tell what the file is
        cause = _find_cause(path) if packed else None
        if cause is None:
            return f"is no NIfTI volume ({size}; fetch the file again, or convert it)"
        error = cause
    if isinstance(error, EOFError):
        return f"is cut short: {str(error).splitlines()[0]} ({size}; fetch the file again)"
    return f"cannot be read ({str(error).splitlines()[0]}; {size}; fetch the file again)"


def _find_cause(path: Path) -> BaseException | None:
    """Return the error of unpacking the start of a gzip file, which nibabel hides."""
    try:
        with _open_stream(path) as stream:
            stream.read(SNIFF_BYTES)
    except READ_ERRORS as error:
        return error
    return None
