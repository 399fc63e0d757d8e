"""The types that all data set code shares: releases, cases, classes, regions, problems."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.grouping import group_sentences
from datasets.grouping import list_first as list_first

if TYPE_CHECKING:
    import numpy as np

VolumeShape = tuple[int, int, int]  # (D, H, W)
SpacingMm = tuple[float, float, float]  # in the order (D, H, W)

FEW = 3  # sentences of one cause that an error lists one by one
IGNORED_CLASS = 254  # in class maps: voxels that are neither trained on nor scored
SYNTHETIC_MARKER = "SYNTHETIC.json"
SYNTHETIC_NOTE = (
    "The lesions of these phantoms and what resembles them differ in their shape over several "
    "slices, which favours a method that sees more than one slice at once."
)
SYNTHETIC_PLAN = "SYNTHETIC.partial.json"  # until the last volume is written
SYNTHETIC_SIGNS = (SYNTHETIC_MARKER, SYNTHETIC_PLAN)


class DataError(ValueError):
    """The data on disk cannot be used as they are; the message names the file and the remedy."""


def unknown_name(kind: str, name: str, known: Collection[str]) -> ValueError:
    """Return the error for a name that does not exist, with the nearest name that does."""
    folded = {each.casefold(): each for each in known}
    close = get_close_matches(name.casefold(), folded, n=1)
    hint = f" (did you mean '{folded[close[0]]}'?)" if close else ""
    return ValueError(f"unknown {kind} '{name}'{hint}; available: {', '.join(sorted(known))}")


@dataclass(frozen=True)
class Region:
    """A union of classes that is scored (whole tumour = oedema + core + enhancing rim)."""

    name: str
    classes: tuple[int, ...]  # training class indices, not label values of the file


@dataclass(frozen=True)
class Window:
    """How CT values are clipped, shifted and scaled; all in Hounsfield units."""

    low_hu: float
    high_hu: float
    mean_hu: float
    std_hu: float

    def __post_init__(self) -> None:
        if not (self.low_hu < self.high_hu and self.std_hu > 0):
            rule = "must have low < high and a positive standard deviation"
            raise ValueError(f"window: {rule}, got {self}")

    def scale_in_place(self, values: np.ndarray) -> None:
        """Clip and standardise float32 values."""
        values.clip(self.low_hu, self.high_hu, out=values)
        values -= self.mean_hu
        values *= 1 / self.std_hu


@dataclass(frozen=True)
class DatasetInfo:
    """The facts of a data set below a root; values and regions are those of its release."""

    name: str  # of the release, such as brats2020; of a datalist its own
    title: str
    reference: str
    modality: str  # MRI or CT, which decides how intensities are scaled
    channels: tuple[str, ...]
    classes: tuple[str, ...]  # of training, in order, background first
    label_values: tuple[int, ...]  # item i stands for class i in the label files
    regions: tuple[Region, ...]
    layout: str  # one line: the files that are looked for
    release: str = ""  # the name of the `Release`; empty for a datalist
    window: Window | None = None  # CT only: known constants, or what a run fitted
    ignored_value: int | None = None  # in label files, of voxels with `IGNORED_CLASS`


@dataclass(frozen=True)
class Release:
    """How the files of one release are named, and what its labels mean.

    ``files`` are patterns of a path below the root, from the start of a name to before ``.nii`` or
    ``.nii.gz``. Each has a group ``role``, and the groups that fill the templates ``case_id`` and
    ``patient_id``; a group of digits is filled in as a number. All other patterns are searched.
    """

    name: str
    title: str
    files: tuple[str, ...]
    case_id: str
    channels: Mapping[str, tuple[str, ...]]  # channel -> its roles in file names
    label_roles: tuple[str, ...]
    classes: tuple[str, ...]
    label_values: tuple[int, ...]
    regions: tuple[Region, ...]
    layout: str  # one line: the files that are looked for
    patient_id: str = ""  # empty: the case id
    case_folder: str = ""  # a pattern of the whole name: a folder with the files of one case only
    clue: str = ""  # in any path: decides between releases with the same file names
    expects_label: str = ""  # in "case_id root/path": such a case must have a label
    orphan_labels: bool = False  # labels without a volume are usual in copies
    no_image_hint: str = ""
    stack: tuple[int, ...] = ()  # see `Case.stack`
    orientation: str = ""  # axis codes of every volume, if they are always the same
    spacing_mm: float | None = None  # of every volume along each axis, if it is always the same
    spacing_unknown: frozenset[str] = frozenset()  # see `Case.spacing_known`
    exclude: Mapping[str, frozenset[str]] = field(default_factory=dict)  # preset -> cases left out
    copy_of: str = ""  # the release that this is a copy of, with other names of folders
    mixes: tuple[str, ...] = ()  # releases whose cases are together in this one; else it is not it
    must_be_named: bool = False  # files do not tell it from a rival, and its labels differ

    @property
    def identity(self) -> str:
        """The name of the data set that a run on this release is of."""
        return self.copy_of or self.name

    @property
    def meaning(self) -> tuple[object, ...]:
        """What the labels mean; releases that agree in it can be taken for each other."""
        return self.label_values, self.classes, self.regions


@dataclass(frozen=True)
class Case:
    """One patient's files; ``label`` is None where the release keeps it secret."""

    id: str
    patient: str
    images: Mapping[str, Path]  # channel -> file, in the order of DatasetInfo.channels
    label: Path | None
    stack: tuple[int, ...] = ()  # of one 4-D file for all channels: index of each on the last axis
    spacing_known: bool = True  # False: a spacing of 1 mm in the header is not true

    @property
    def files(self) -> list[Path]:
        """Each file once: the images, then the label."""
        label = [] if self.label is None else [self.label]
        return list(dict.fromkeys([*self.images.values(), *label]))


@dataclass(frozen=True)
class Problem:
    """A fault of a root; ``message`` is one sentence that names case and file."""

    case: str  # empty where it concerns the whole root
    message: str
    is_warning: bool = False  # the case can be used all the same
    is_note: bool = False  # a warning that needs no action: what was taken for granted


class NoCasesError(DataError):
    """There is no case of the data set below the root."""


class BadCasesError(DataError):
    """Some cases cannot be used; ``problems`` has one entry for each fault of each case."""

    def __init__(self, where: str, problems: Collection[Problem]) -> None:
        super().__init__(where, problems)  # pickled with these, on the way between processes
        self.where = where
        self.problems = tuple(problems)

    def __str__(self) -> str:
        messages: list[str] = []
        for group in group_sentences((each.case, each.message) for each in self.problems):
            if len(group.sentences) <= FEW:
                messages += group.sentences
            else:
                messages += [group.sentences[0], f"  {group.others_text}"]
        if len(self.problems) > 1:
            n_cases = len({problem.case for problem in self.problems})
            rule = f"{n_cases} cases cannot be used (--skip-bad-cases leaves them out):"
            messages.insert(0, f"{self.where}: {rule}")
        return "\n  ".join(messages)


@dataclass(frozen=True)
class Discovery:
    """The cases below a root by the names of the files; no file has been read."""

    cases: tuple[Case, ...]  # complete ones, sorted by id as strings
    problems: tuple[Problem, ...]
    release: Release | None = None  # None where a data set has no releases
    runner_up: str = ""  # title of the release that fits second best; empty if no other fits
    incomplete: tuple[Case, ...] = ()  # with files missing; the others can be read

    @property
    def unlabelled(self) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.label is None)

    def without_labels(self, channels: Collection[str]) -> Discovery:
        """Return the discovery for a use that reads no label, so that a case may lack its own."""
        whole = [case for case in self.incomplete if case.images.keys() == set(channels)]
        ids = {case.id for case in whole}
        problems = [each for each in self.problems if each.is_warning or each.case not in ids]
        cases = sorted((*self.cases, *whole), key=lambda case: case.id)
        others = [case for case in self.incomplete if case.id not in ids]
        return replace(self, cases=tuple(cases), problems=tuple(problems), incomplete=tuple(others))

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if not problem.is_warning)


def are_synthetic(paths: Iterable[Path]) -> bool:
    """Return whether any of the files and folders is, behind its links, in a root of phantoms."""
    folders: set[Path] = set()
    for path in paths:
        resolved = path.resolve()
        folders |= {resolved, *resolved.parents}
    return any((folder / name).is_file() for folder in folders for name in SYNTHETIC_SIGNS)


class Dataset(ABC):
    """A data set below one root folder; subclasses know its layout."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def synthetic(self) -> bool:
        """Whether any volume was made by `datasets.phantoms.write`, wherever the root is."""
        places = [self.root]
        with suppress(DataError):  # the root is gone, or holds no case
            for case in (*self.discovery.cases, *self.discovery.incomplete):
                places += case.files
        return are_synthetic(places)

    @property
    def note(self) -> str:
        """What a reader of results must know of these volumes, as a sentence; mostly nothing."""
        return SYNTHETIC_NOTE if self.synthetic else ""

    @property
    def meaning(self) -> str:
        """What two data sets must share beside their files to be equal."""
        return ""

    @property
    def scaling(self) -> str:
        """How intensities are scaled, for the protocol, where names of channels decide it."""
        return ""

    @property
    @abstractmethod
    def info(self) -> DatasetInfo:
        """The facts of what is below the root; may raise as `discover`."""

    @abstractmethod
    def discover(self) -> Discovery:
        """Raises: DataError if the root is no folder, holds no case, or mixes releases."""

    @cached_property
    def discovery(self) -> Discovery:
        return self.discover()

    def find_cases(self, left_out: Collection[str] = ()) -> list[Case]:
        """Return the cases that are not left out, labelled or not, sorted by id as strings.

        Raises: DataError as `discover`; BadCasesError if a file is missing, doubled or empty.
        """
        wrong = [each for each in self.discovery.errors if each.case not in left_out]
        if wrong:
            raise BadCasesError(f"{self.info.name}: {self.root}", wrong)
        return [case for case in self.discovery.cases if case.id not in left_out]

    def find_labelled(self, exclude: str = "", left_out: Collection[str] = ()) -> list[Case]:
        """Return the labelled cases that are not in the preset ``exclude``, if the release has it.

        Raises: DataError as `find_cases`.
        """
        release = self.discovery.release
        preset = release.exclude.get(exclude, ()) if release else ()
        cases = self.find_cases(left_out)
        return [case for case in cases if case.label is not None and case.id not in preset]
