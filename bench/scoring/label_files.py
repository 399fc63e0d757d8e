"""Label files of any origin, to be scored: which prediction belongs to which reference, and what both say on one grid.

A file is known by its case: by the names of the data set's release where it has one of them, else
by its own name without ``.nii[.gz]``. So a prediction may be called as the case or as the case's
label file, whatever its folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import datasets
from bench.scoring.surfaces import Spacing
from bench.specs.protocol import suggest
from datasets.base import SYNTHETIC_MARKER, Case, DataError, DatasetInfo, Release, list_first
from datasets.layouts.case_files import stem
from datasets.layouts.discovery import find_hits, iter_files, recognise_release
from datasets.volumes.geometry import is_same_grid
from datasets.volumes.nifti import open_volume
from datasets.volumes.reading import geometry_of, open_image, open_label, read_label

ENDINGS = (".nii", ".nii.gz")


@dataclass(frozen=True)
class Pairing:
    """What is to be scored: cases with their reference as label, each with the file of a prediction."""

    info: DatasetInfo
    release_assumed: (
        bool  # the names of the references fit releases whose labels mean different things
    )
    synthetic: bool  # the references lie in a folder of phantoms
    pairs: tuple[tuple[Case, Path], ...]
    without_prediction: tuple[str, ...]  # references that are left out


def pair_files(
    dataset: str, reference: Path, prediction: Path, release: str | None = None
) -> Pairing:
    """Return what belongs together of two label files, or of two folders that are searched at any depth.

    ``release`` says what the label values mean; by default the names of the references do.

    Raises: ValueError for an unknown data set or release; DataError if a path does not exist, if a
    prediction has no
        reference, or if there are two files for a case.
    """
    known = datasets.get(dataset)
    references, predictions = (
        _list_labels("--reference", reference),
        _list_labels("--prediction", prediction),
    )
    if reference.is_file() != prediction.is_file():
        kinds = " and ".join(
            "a file" if path.is_file() else "a folder" for path in (reference, prediction)
        )
        raise DataError(
            f"score: --reference and --prediction must be two files or two folders, got {kinds}"
        )
    entry, assumed = _choose_release(known.releases, references, release)
    cases, info = _find_references(entry, references), known.describe(entry.name)
    synthetic = any(
        (folder / SYNTHETIC_MARKER).is_file()
        for folder in (reference, *reference.absolute().parents)
    )
    if reference.is_file():
        return Pairing(
            info, assumed, synthetic, tuple((case, prediction) for case in cases.values()), ()
        )
    found = _name_predictions(entry, predictions)
    strangers = sorted(found.keys() - cases.keys())
    if strangers:
        hint = f"name them as the case or its label, such as {next(iter(cases))}.nii.gz"
        raise DataError(
            f"score: every prediction must have a reference, got none for {list_first(strangers)} ({hint})"
        )
    pairs = tuple((case, found[name]) for name, case in cases.items() if name in found)
    return Pairing(info, assumed, synthetic, pairs, tuple(sorted(cases.keys() - found.keys())))


def read_pair(
    case: Case, prediction: Path, info: DatasetInfo
) -> tuple[np.ndarray, np.ndarray, Spacing | None]:
    """Return the class maps of prediction and reference, uint8 (D, H, W), and the spacing; None if it is not known.

    Where the case has an image, the reference lies on its grid, as in training. The prediction may
    be stored in another order of axes, but its voxels must be those of the reference.

    Raises: DataError naming the file if one cannot be read, lies elsewhere, or holds a value that
    the release has not.
    """
    image = next(iter(case.images.values()), None)
    grid = open_label(case, geometry_of(open_image(case, image)) if image else None)[1]
    found = geometry_of(open_volume(prediction, case.id))
    if not is_same_grid(found, grid):
        wanted, got = (
            f"{each.shape} {each.codes} of {_format(each.spacing_mm)} mm" for each in (grid, found)
        )
        hint = "resample it, or write it with the reference's affine"
        raise DataError(
            f"{prediction}: must lie on the grid of the reference, {wanted}, got {got} ({hint})"
        )
    reference = read_label(case, info, grid)
    predicted = read_label(replace(case, label=prediction), info, grid)
    unknown = not case.spacing_known and grid.spacing_mm == (1.0, 1.0, 1.0)
    return predicted, reference, None if unknown else grid.spacing_mm


def _list_labels(option: str, path: Path) -> list[Path]:
    if not path.exists():
        raise DataError(
            f"score: {option} must be a label file or a folder of them, got {path}, which does not exist"
        )
    files = (
        [path]
        if path.is_file()
        else [file for file in iter_files(path) if file.name.endswith(ENDINGS)]
    )
    if not files:
        raise DataError(f"score: {option} must hold .nii or .nii.gz files, got none below {path}")
    return files


def _choose_release(
    releases: Sequence[Release], files: Sequence[Path], asked: str | None
) -> tuple[Release, bool]:
    """Return the release that was asked for or knows most of the files, and whether that was a guess."""
    by_name = {release.name: release for release in releases}
    if asked is not None:
        if asked not in by_name:
            raise ValueError(f"score: unknown release '{asked}'{suggest(asked, list(by_name))}")
        return by_name[asked], False
    paths = _paths_of(files)
    found = recognise_release(releases, paths, list(paths.values()))
    return found.release, bool(found.rivals)


def _find_references(release: Release, files: Sequence[Path]) -> dict[str, Case]:
    """Return the cases by id: those of the release if its labels are among the files, else every file is one."""
    hits = find_hits(release, _paths_of(files))
    labels = [(hit.case, hit.path) for hit in hits if hit.role in release.label_roles]
    channel, roles = next(iter(release.channels.items()))
    images = {hit.case: {channel: hit.path} for hit in hits if hit.role in roles}
    found = _unique("--reference", labels or [(stem(file).name, file) for file in files])
    return {
        name: Case(
            name,
            name,
            images.get(name, {}),
            path,
            release.stack,
            name not in release.spacing_unknown,
        )
        for name, path in found.items()
    }


def _name_predictions(release: Release, files: Sequence[Path]) -> dict[str, Path]:
    by_release = {hit.path: hit.case for hit in find_hits(release, _paths_of(files))}
    return _unique(
        "--prediction", [(by_release.get(file, stem(file).name), file) for file in files]
    )


def _paths_of(files: Iterable[Path]) -> dict[Path, str]:
    return {file: file.absolute().as_posix() for file in files}


def _unique(option: str, named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, path in named:
        if name in found:
            raise DataError(
                f"score: {option} must hold one file for case {name}, got {found[name]} and {path}"
            )
        found[name] = path
    return dict(sorted(found.items()))


def _format(spacing_mm: Spacing) -> str:
    return " x ".join(f"{length:g}" for length in spacing_mm)
