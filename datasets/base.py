"""What a data set is to the rest of the house: releases, cases, channels, classes and regions."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


VolumeShape = tuple[int, int, int]  # (D, H, W)
SpacingMm = tuple[float, float, float]  # in the order (D, H, W)

SYNTHETIC_MARKER = "SYNTHETIC.json"
SYNTHETIC_PLAN = (
    "SYNTHETIC.partial.json"  # stands in for the marker until the last volume is written
)


class DataError(ValueError):
    """The data on disk are not what they should be; the message names the file and the way out."""


@dataclass(frozen=True)
class Region:
    """What is scored: the union of some classes (whole tumour = oedema + core + enhancing rim)."""

    name: str
    classes: tuple[int, ...]  # training class indices, not label values of the file


@dataclass(frozen=True)
class DatasetInfo:
    """The facts of a data set as it lies below a root; values and regions are those of the release found there.

    ``classes`` are the training classes in order, background first; ``label_values[i]`` is the
    value that stands for class i in the label files.
    """

    name: str
    title: str
    reference: str
    modality: str  # MRI or CT, which decides how intensities are scaled
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    label_values: tuple[int, ...]
    regions: tuple[Region, ...]
    layout: str  # one line: the files that are looked for
    release: str = ""  # the name of the `Release`; empty where a data set knows only one
    window: Window | None = (
        None  # of CT: the constants that are known for it, or what a run fitted; None for MRI
    )


@dataclass(frozen=True)
class Release:
    """One release of a data set: how its files are named and what its labels mean. Adding one is one of these.

    ``files`` are searched in the path below the root (with ``/``). They have a group ``role``, and
    the groups from which the templates ``case_id`` and ``patient_id`` are filled; a group of digits
    is filled in as a number.
    """

    name: str
    title: str
    files: tuple[re.Pattern[str], ...]
    case_id: str
    patient_id: str
    channels: Mapping[str, tuple[str, ...]]  # channel -> its roles in file names
    label_roles: tuple[str, ...]
    classes: tuple[str, ...]
    label_values: tuple[int, ...]
    regions: tuple[Region, ...]
    layout: str  # one line: the files that are looked for
    case_folder: re.Pattern[str] | None = (
        None  # a folder so named holds the files of that case alone
    )
    clue: re.Pattern[str] | None = (
        None  # in any path: decides between releases whose files are named alike
    )
    expects_label: re.Pattern[str] | None = (
        None  # in "case_id root/path": such a case must have a label
    )
    orphan_labels: bool = False  # labels without a volume are usual in copies
    no_image_hint: str = ""
    stack: tuple[int, ...] = ()  # see `Case.stack`
    orientation: str = ""  # axis codes of every volume, where the release has but one
    spacing_unknown: frozenset[str] = (
        frozenset()
    )  # cases whose header does not tell the spacing if it says 1 mm
    exclude: Mapping[str, frozenset[str]] = field(
        default_factory=dict
    )  # preset -> cases that it leaves out


@dataclass(frozen=True)
class Case:
    """One patient's files; ``label`` is None where the release keeps it secret."""

    id: str
    patient: str
    images: Mapping[str, Path]  # channel -> file, in the order of DatasetInfo.channels
    label: Path | None
    stack: tuple[
        int, ...
    ] = ()  # if one 4-D file holds all channels: the place of each on its last axis
    spacing_known: bool = True  # False: a header that says 1 mm says nothing

    @property
    def files(self) -> list[Path]:
        """The files of the case, each once: the images, then the label."""
        label = [] if self.label is None else [self.label]
        return list(dict.fromkeys([*self.images.values(), *label]))


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a root; ``message`` is one sentence that names case and file."""

    case: str  # empty where it concerns the whole root
    message: str
    is_warning: bool = False  # the case can be used all the same


class NoCasesError(DataError):
    """There is no case of the data set below the root."""


class BadCasesError(DataError):
    """Some cases cannot be used; ``problems`` has one entry for each thing that is wrong with one."""

    def __init__(self, where: str, problems: Collection[Problem]) -> None:
        self.where = where
        self.problems = tuple(problems)
        messages = [problem.message for problem in self.problems]
        n_cases = len({problem.case for problem in self.problems})
        heading = f"{where}: {n_cases} cases cannot be used (--skip-bad-cases leaves them out):"
        super().__init__(messages[0] if len(messages) == 1 else "\n  ".join([heading, *messages]))

    def __reduce__(self) -> tuple[type[BadCasesError], tuple[str, tuple[Problem, ...]]]:
        """Let the error travel between processes; an exception is pickled by its message otherwise."""
        return BadCasesError, (self.where, self.problems)


@dataclass(frozen=True)
class Discovery:
    """What lies below a root, by the names of the files; header and voxels have not been read."""

    title: str  # of the release
    runner_up: str  # title of the release that fits second best; empty if no other fits
    cases: tuple[Case, ...]  # complete ones, sorted by id as strings
    problems: tuple[Problem, ...] = ()
    release: Release | None = None  # None where a data set knows no releases

    @property
    def unlabelled(self) -> tuple[Case, ...]:
        """The cases whose label is not there: good for prediction only."""
        return tuple(case for case in self.cases if case.label is None)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What keeps cases from being used."""
        return tuple(problem for problem in self.problems if not problem.is_warning)


class Dataset(ABC):
    """A data set below one root folder; subclasses know its layout."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def synthetic(self) -> bool:
        """Whether the volumes below the root were made by `datasets.phantoms.write`."""
        return any((self.root / name).is_file() for name in (SYNTHETIC_MARKER, SYNTHETIC_PLAN))

    @property
    def meaning(self) -> str:
        """What, beside the files, two data sets must share to be the same; a release is told by its files' names."""
        return ""

    @property
    @abstractmethod
    def info(self) -> DatasetInfo:
        """The facts of what lies below the root.

        Raises: DataError as `discover`.
        """

    @abstractmethod
    def discover(self) -> Discovery:
        """Look through the root once.

        Raises: DataError if the root is no folder, holds no case, or mixes releases.
        """

    @cached_property
    def discovery(self) -> Discovery:
        """What `discover` found, looked up once."""
        return self.discover()

    def find_cases(self, left_out: Collection[str] = ()) -> list[Case]:
        """Return the cases below the root, with or without a label, sorted by id as strings.

        Cases in ``left_out`` are passed over, whatever is wrong with them.

        Raises: DataError as `discover`; BadCasesError for all other cases with a file missing,
        doubled or empty.
        """
        found = self.discovery
        wrong = [each for each in found.errors if each.case not in left_out]
        if wrong:
            raise BadCasesError(f"{self.info.name}: {self.root}", wrong)
        return [case for case in found.cases if case.id not in left_out]

    def find_labelled(self, exclude: str = "", left_out: Collection[str] = ()) -> list[Case]:
        """Return the cases that can be trained on and scored.

        ``exclude`` names a preset of the release; a preset that the release does not have leaves
        out nothing.

        Raises: DataError as `find_cases`.
        """
        release = self.discovery.release
        preset = release.exclude.get(exclude, frozenset()) if release else frozenset()
        return [
            case
            for case in self.find_cases(left_out)
            if case.label is not None and case.id not in preset
        ]


@dataclass(frozen=True)
class Window:
    """How CT values are clipped, shifted and scaled; all in Hounsfield units."""

    low_hu: float
    high_hu: float
    mean_hu: float
    std_hu: float

    def __post_init__(self) -> None:
        """Raises: ValueError if the window is empty or the standard deviation is not positive."""
        if not (self.low_hu < self.high_hu and self.std_hu > 0):
            raise ValueError(
                f"window: must have low < high and a positive standard deviation, got {self}"
            )

    def scale(self, values: np.ndarray) -> np.ndarray:
        """Return the clipped values with mean and standard deviation taken out, float32, as a new array."""
        scaled: np.ndarray = values.astype("float32")
        self.scale_in_place(scaled)
        return scaled

    def scale_in_place(self, scaled: np.ndarray) -> None:
        """Do the same to values that are float32 already."""
        scaled.clip(self.low_hu, self.high_hu, out=scaled)
        scaled -= self.mean_hu
        scaled *= 1 / self.std_hu
