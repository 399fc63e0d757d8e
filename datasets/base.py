"""What a data set is to the rest of the house: cases, channels, classes and regions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np

SYNTHETIC_MARKER = "SYNTHETIC.json"
SYNTHETIC_PLAN = "SYNTHETIC.partial.json"  # stands in for the marker until the last volume is written


class DataError(ValueError):
    """The data on disk are not what they should be; the message names the file and the way out."""


@dataclass(frozen=True)
class Region:
    """What is scored: the union of some classes (whole tumour = oedema + core + enhancing rim)."""

    name: str
    classes: tuple[int, ...]  # training class indices, not label values of the file


@dataclass(frozen=True)
class DatasetInfo:
    """The facts of a data set.

    ``classes`` are the training classes in order, background first; ``label_values[i]`` is the value that stands for
    class i in the label files.
    """

    name: str
    title: str
    reference: str
    modality: str
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    label_values: tuple[int, ...]
    regions: tuple[Region, ...]
    layout: str  # one line: the files that are looked for


@dataclass(frozen=True)
class Case:
    """One patient's files; ``label`` is None where the release keeps it secret."""

    id: str
    patient: str
    images: Mapping[str, Path]  # channel -> file, in the order of DatasetInfo.channels
    label: Path | None


class Dataset(ABC):
    """A data set below one root folder; subclasses know its layout and its intensities."""

    info: ClassVar[DatasetInfo]

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def synthetic(self) -> bool:
        """Whether the volumes below the root were made by `datasets.phantom`."""
        return any((self.root / name).is_file() for name in (SYNTHETIC_MARKER, SYNTHETIC_PLAN))

    @abstractmethod
    def find_cases(self) -> list[Case]:
        """Return the cases below the root, sorted by id as strings; header and voxels are not read.

        Raises: DataError if the root is no folder, if there is no case, or if a case lacks a file.
        """

    @abstractmethod
    def normalise(self, image: np.ndarray) -> np.ndarray:
        """Return the intensities as the model sees them; float32 (C, D, H, W) to the same."""
