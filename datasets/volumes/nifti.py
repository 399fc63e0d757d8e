"""NIfTI files as a stream of blocks, read and checked to the last byte, without a second copy.

A gzip file is read to its end, so that its checksum is compared; nibabel stops at the last voxel.
Values become float32 block by block, so that a float64 copy of a large volume never exists.
"""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.imageglobals import logger as nibabel_logger
from nibabel.spatialimages import HeaderDataError

from datasets.base import DataError
from datasets.files import DAMAGE
from datasets.volumes.header import Placement, RawHeader, read_placement

READ_ERRORS = (*DAMAGE, ImageFileError, HeaderDataError)
MOST_PACKED = 1100  # bytes that a byte of gzip can stand for, at most
BLOCK_BYTES = 4 << 20
SNIFF_BYTES = 1024  # of a file's content, by which nibabel recognises its format
GZIP_MAGIC, LFS_START = b"\x1f\x8b", b"version https://git-lfs"
NIFTI_STARTS = tuple(size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big"))


@dataclass(frozen=True)
class VolumeFile:
    """The header of a readable volume."""

    path: Path
    case: str
    shape: tuple[int, ...]  # as stored, without trailing axes of one: three axes, or four
    placement: Placement
    raw: RawHeader
    dtype: np.dtype[Any]
    offset: int  # bytes before the first voxel
    slope: float
    intercept: float

    def new_array(self, dtype: type[np.generic]) -> np.ndarray:
        """Return room for the voxels, flat; raise DataError if the file cannot hold so many."""
        size = self.path.stat().st_size
        most = size * MOST_PACKED if is_packed(self.path) else size - self.offset
        with _reading(self.path, self.case):
            if self.n_bytes > most:
                raise EOFError(f"{self.n_bytes - most} bytes of voxels are not there")
            return np.empty(prod(self.shape), dtype=dtype)

    @property
    def n_bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    def iter_blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the values in the order of the file, flat, and the place of each block.

        Integers are yielded as stored; all other values, and scaled ones, as float32.

        Raises: DataError if the file ends early or is damaged anywhere.
        """
        missing = self.n_bytes
        step = BLOCK_BYTES // self.dtype.itemsize * self.dtype.itemsize
        start = 0
        with _reading(self.path, self.case), _open_stream(self.path) as stream:
            stream.seek(self.offset)
            while missing:
                content = stream.read(min(step, missing))
                if not content or len(content) % self.dtype.itemsize:
                    raise EOFError(f"{missing - len(content)} bytes of voxels are not there")
                missing -= len(content)
                block = self._convert(np.frombuffer(content, dtype=self.dtype))
                yield slice(start, start + block.size), block
                start += block.size
            while stream.read(BLOCK_BYTES):  # to the end, where gzip keeps the checksum
                pass

    def _convert(self, block: np.ndarray) -> np.ndarray:
        is_scaled = (self.slope, self.intercept) != (1.0, 0.0)
        if block.dtype.kind in "iu" and not is_scaled:
            return block
        with np.errstate(all="ignore"):  # beyond float32 is infinite, which the reader refuses
            values = block.astype(np.float32)
            if is_scaled:
                values = values * np.float32(self.slope) + np.float32(self.intercept)
        return values


def is_packed(path: Path) -> bool:
    """Return whether the name says that the file is compressed."""
    return path.name.lower().endswith(".gz")


def open_volume(path: Path, case: str) -> VolumeFile:
    """Read the header of a volume.

    Raises: DataError naming the file if it is no NIfTI of real numbers with three or four axes.
    """
    where = f"{path}: file of case {case}"
    with _reading(path, case), np.errstate(all="ignore"):
        return _open(path, case, where)


def _open(path: Path, case: str, where: str) -> VolumeFile:
    with _without_nibabels_log():  # what it corrects is read below
        image = nib.load(path)
    proxy = image.dataobj
    header = image.header
    if not hasattr(header, "get_qform"):
        raise DataError(f"{where} must be NIfTI, got {type(image).__name__} (convert it)")
    if proxy.offset < int(header["sizeof_hdr"]):
        rule = f"must hold its voxels after the header, got byte {proxy.offset}"
        raise DataError(f"{where} {rule} (export it again)")
    dtype = np.dtype(proxy.dtype)
    if dtype.kind not in "iufb":
        kind = "complex numbers" if dtype.kind == "c" else "colours"
        rule = f"must hold real numbers, got {kind}"
        raise DataError(f"{where} {rule} ({dtype}; export one number a voxel)")
    shape = tuple(map(int, proxy.shape))
    while len(shape) > 3 and shape[-1] == 1:  # some tools leave trailing axes of one
        shape = shape[:-1]
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise DataError(f"{where} must have 3 axes, got shape {shape}")
    with _open_stream(path) as stream:
        head = stream.read(int(header["sizeof_hdr"]))
    placement, raw = read_placement(header, image.affine, head)
    return VolumeFile(
        path=path,
        case=case,
        shape=shape,
        placement=placement,
        raw=raw,
        dtype=dtype,
        offset=int(proxy.offset),
        slope=float(proxy.slope),
        intercept=float(proxy.inter),
    )


@contextmanager
def _without_nibabels_log() -> Iterator[None]:
    """Keep nibabel from printing what it corrects in a header."""
    before = nibabel_logger.disabled
    nibabel_logger.disabled = True
    try:
        yield
    finally:
        nibabel_logger.disabled = before


def _open_stream(path: Path) -> IO[bytes]:
    if is_packed(path):
        return gzip.open(path, "rb")  # type: ignore[return-value]  # typeshed's gap
    return path.open("rb")


@contextmanager
def _reading(path: Path, case: str) -> Iterator[None]:
    """Turn an error of reading into a DataError that names the cause."""
    try:
        yield
    except DataError:
        raise
    except READ_ERRORS as error:
        raise DataError(f"{path}: file of case {case} {_explain(path, error)}") from error


def _explain(path: Path, error: BaseException) -> str:
    """Return why a file cannot be read, from its first bytes and the error."""
    if not path.exists():
        target = "does not exist"
        if path.is_symlink():
            target = f"is a link to {path.readlink()}, which does not exist"
        return f"{target} (mend the link or fetch the file)"
    with path.open("rb") as stream:
        start = stream.read(64)
    size = f"{path.stat().st_size} bytes"
    packed = start.startswith(GZIP_MAGIC)
    other = _explain_content(start, size, packed=packed, named_gz=is_packed(path))
    if other:
        return other
    if isinstance(error, ImageFileError):  # nibabel's error for all that is no volume
        cause = _find_cause(path) if packed else None
        if cause is None:
            return f"is no NIfTI volume ({size}; fetch the file again, or convert it)"
        error = cause
    first_line = next(iter(str(error).splitlines()), type(error).__name__)
    if isinstance(error, EOFError):
        return f"is cut short: {first_line} ({size}; fetch the file again)"
    return f"cannot be read ({first_line}; {size}; fetch the file again)"


def _explain_content(start: bytes, size: str, *, packed: bool, named_gz: bool) -> str:
    """Return what a file is instead of a volume, by its first bytes; empty if they do not tell."""
    if not start:
        return "is empty, 0 bytes (fetch the file again)"
    if start.startswith(LFS_START):
        return f"is a Git LFS pointer of {size}, not the volume (run `git lfs pull`)"
    if start.lstrip().startswith(b"<"):
        return f"is a web page of {size}, not a volume (the download did not go through)"
    if named_gz and start.startswith(NIFTI_STARTS):
        return "is named .gz but not compressed (rename it to .nii)"
    if packed and not named_gz:
        return "is compressed but not named .gz (rename it to .nii.gz)"
    return ""


def _find_cause(path: Path) -> BaseException | None:
    """Return the error of unpacking the start of a gzip file, which nibabel hides."""
    try:
        with _open_stream(path) as stream:
            stream.read(SNIFF_BYTES)
    except READ_ERRORS as error:
        return error
    return None
