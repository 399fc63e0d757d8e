"""Values that are not what the release promises: no Hounsfield units, no brain, repeated slices."""

from zlib import crc32

import numpy as np

from datasets.base import DatasetInfo
from datasets.volumes.nifti import VolumeFile
from datasets.volumes.values import ValueRange

LOWEST_HU, HIGHEST_HU = -4096.0, 32767.0  # padding of -2000 and metal are between them
AIR_HU = -500.0  # each CT has air below it, and no organ is there
PADDING_HU = -1500.0  # below it are no measured values
SCALED_SPAN = 100.0  # a CT whose values span less was scaled
LEAST_BACKGROUND_FRAC = 0.1  # of voxels that are 0 in a volume without a skull; about 0.8 in BraTS


class Content:
    """What is kept of the voxels of an image: range, checksum, repeats, and where background is."""

    def __init__(self, volume: VolumeFile, info: DatasetInfo) -> None:
        self.volume = volume
        self.info = info
        self.found = ValueRange()
        self.n_background = 0  # voxels of air, or that are 0
        self.n_repeats = 0  # slices equal to the one before, which are not constant
        self.checksum = 0
        self.is_background: list[np.ndarray] = []  # packed bits, in the order of the file
        self._slice_size = int(np.prod(volume.shape[:2]))
        self._n_in_slice = 0
        self._slice_checksum = 0
        self._last_checksum: int | None = None

    def add(self, block: np.ndarray) -> None:
        """Add the next values of the file."""
        self.found.add(block)
        background = block < AIR_HU if self.info.modality == "CT" else block == 0
        self.n_background += int(np.count_nonzero(background))
        self.is_background.append(np.packbits(background))
        start = 0
        while start < block.size:
            stop = min(start + self._slice_size - self._n_in_slice, block.size)
            self._add_to_slice(block[start:stop])
            start = stop

    def _add_to_slice(self, part: np.ndarray) -> None:
        self._slice_checksum = crc32(part.data, self._slice_checksum)
        self._n_in_slice += part.size
        if self._n_in_slice < self._slice_size:
            return
        if self._slice_checksum == self._last_checksum:
            constant = np.full(self._slice_size, part[0], dtype=part.dtype)
            self.n_repeats += crc32(constant.data) != self._slice_checksum
        self.checksum = crc32(self._slice_checksum.to_bytes(4, "little"), self.checksum)
        self._last_checksum = self._slice_checksum
        self._n_in_slice = self._slice_checksum = 0

    def check(self) -> list[str]:
        """Return a sentence for each way in which the values are odd."""
        where = f"{self.volume.path}: file of case {self.volume.case}"
        found = self.found
        sentences = []
        if found.low == found.high:
            sentences.append(f"is {found.low:g} everywhere (it will carry nothing)")
        elif self.info.modality == "CT":
            sentences.append(_check_hu(found))
        elif self.info.release:
            sentences.append(self._check_skull())
        if self.n_repeats:
            hint = "were slices exported twice?"
            slices = "1 slice" if self.n_repeats == 1 else f"{self.n_repeats} slices"
            sentences.append(f"has {slices} equal to the one before ({hint})")
        return [f"{where} {sentence}" for sentence in sentences if sentence]

    def list_notes(self) -> list[str]:
        """Return what is usual, and worth to know once."""
        where = f"{self.volume.path}: file of case {self.volume.case}"
        notes = []
        if not self.volume.placement.unit_stated:
            notes.append(f"{where} states no unit of length, mm is taken")
        if self.info.modality == "CT" and LOWEST_HU <= self.found.low < PADDING_HU:
            notes.append(f"{where} is padded with {self.found.low:g}, which is clipped")
        return notes

    def _check_skull(self) -> str:
        share = self.n_background / self.found.n_added
        if share >= LEAST_BACKGROUND_FRAC:
            return ""
        found = f"is 0 in {100 * share:.1f} % of its voxels"
        return f"{found}, {self.info.title} has no skull and 0 around the brain"


def _check_hu(found: ValueRange) -> str:
    if found.low < LOWEST_HU or found.high > HIGHEST_HU:
        text = f"{found.low:g} to {found.high:g}, which are no Hounsfield units"
        return f"holds {text} (they will be clipped)"
    if found.high - found.low < SCALED_SPAN:
        text = f"{found.low:g} to {found.high:g}, which are no Hounsfield units"
        return f"holds {text} (a scaled copy?)"
    if found.low > AIR_HU:
        hint = "was the intercept lost, such as -1024, or the air cut away?"
        return f"has no value below {found.low:g}, air is -1000 HU ({hint})"
    return ""
