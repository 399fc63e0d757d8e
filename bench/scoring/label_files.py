"""Label files of any origin as pairs to score: a reference and a prediction on one grid.

A file's case follows from the names of the data set's release, else it is the file's name without
``.nii[.gz]``. So a prediction may be named as the case or as its label file, in any folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import datasets
from bench.scoring.grids import describe_difference
from bench.scoring.own_labels import find_own_references, is_own, name_own_predictions, open_own
from bench.scoring.surfaces import Spacing
from bench.specs.protocol import suggest
from datasets.base import Case, DataError, DatasetInfo, Release, are_synthetic, list_first
from datasets.layouts.case_files import stem
from datasets.layouts.discovery import (
    check_named,
    find_hits,
    iter_files,
    list_hints,
    recognise_release,
    refuse_other_tasks,
)
from datasets.volumes.geometry import Geometry, is_spacing_known
from datasets.volumes.labels import geometry_of
from datasets.volumes.nifti import open_volume
from datasets.volumes.reading import open_image, open_label, read_label

ENDINGS = (".nii", ".nii.gz")


@dataclass(frozen=True)
class Pairing:
    """Cases with their reference as label, each with the file of its prediction."""

    info: DatasetInfo
    release_assumed: bool  # the names fit several releases whose labels mean different things
    synthetic: bool  # the references are in a folder of phantoms
    pairs: tuple[tuple[Case, Path], ...]
    without_prediction: tuple[Case, ...]  # the other references


def pair_files(
    dataset: str, reference: Path, prediction: Path, release: str | None = None
) -> Pairing:
    """Return the pairs of two label files, or of two folders that are searched at any depth.

    ``release``, or a ``dataset`` that is one, names the meaning of the label values; by default the
    references' names do.

    Raises: ValueError for an unknown data set or release; DataError if a path does not exist, if a
    prediction has no reference, or if there are two files for a case.
    """
    if is_own(dataset):
        return _pair_own(dataset, reference, prediction)
    known = datasets.get(dataset)
    if dataset in datasets.releases():
        release = release or dataset
    references = _list_labels("--reference", reference)
    predictions = _list_labels("--prediction", prediction)
    _check_same_kind(reference, prediction)
    refuse_other_tasks(dataset, reference, _paths_below(reference, references), known.others)
    entry, assumed = _choose_release(known.releases, reference, references, release)
    info = known.describe(entry.name)
    cases = _find_references(entry, references)
    synthetic = are_synthetic([reference, *references])
    if reference.is_file():
        pairs = [(case, prediction) for case in cases.values()]
        return Pairing(info, assumed, synthetic, tuple(pairs), ())
    return _join(info, cases, _name_predictions(entry, predictions), assumed, synthetic)


def _pair_own(dataset: str, reference: Path, prediction: Path) -> Pairing:
    """Return the pairs of a user's own data set."""
    references = _list_labels("--reference", reference)
    predictions = _list_labels("--prediction", prediction)
    _check_same_kind(reference, prediction)
    opened = open_own(dataset, reference)
    cases = dict(sorted(find_own_references(opened, references).items()))
    if reference.is_file():
        pairs = [(case, prediction) for case in cases.values()]
        return Pairing(opened.info, False, opened.synthetic, tuple(pairs), ())
    found = _check_unique("--prediction", name_own_predictions(cases, predictions))
    return _join(opened.info, cases, found, False, opened.synthetic)


def _join(
    info: DatasetInfo,
    cases: Mapping[str, Case],
    predictions: Mapping[str, Path],
    assumed: bool,
    synthetic: bool,
) -> Pairing:
    """Return each case with its prediction, and the cases that have none."""
    _check_known(predictions, cases)
    pairs = [(case, predictions[name]) for name, case in cases.items() if name in predictions]
    missing = [case for name, case in cases.items() if name not in predictions]
    return Pairing(info, assumed, synthetic, tuple(pairs), tuple(missing))


def read_pair(
    case: Case, prediction: Path, info: DatasetInfo
) -> tuple[np.ndarray, np.ndarray, Spacing | None]:
    """Return the class maps of prediction and reference, uint8 (D, H, W), and the known spacing.

    The reference is put on the grid of the case's image if it has one, as in training. The
    prediction may have another order of axes, but the same voxels.

    Raises: DataError that names the file if one cannot be read, is on another grid, or holds a
    value that the release does not have.
    """
    grid = _reference_grid(case)
    difference = describe_difference(geometry_of(open_volume(prediction, case.id)), grid)
    if difference:
        hint = "resample it, or write it with the reference's affine"
        raise DataError(
            f"{prediction}: must lie on the grid of the reference, {difference} ({hint})"
        )
    reference, spacing_mm = read_reference(case, info)
    return read_label(replace(case, label=prediction), info, grid), reference, spacing_mm


def read_reference(case: Case, info: DatasetInfo) -> tuple[np.ndarray, Spacing | None]:
    """Return the class map of a reference, uint8 (D, H, W), and the spacing if it is known.

    Raises: DataError as `read_pair`.
    """
    grid = _reference_grid(case)
    known = is_spacing_known(case, grid)
    return read_label(case, info, grid), grid.spacing_mm if known else None


def _reference_grid(case: Case) -> Geometry:
    image = next(iter(case.images.values()), None)
    image_grid = geometry_of(open_image(case, image)) if image else None
    return open_label(case, image_grid)[1]


def _list_labels(option: str, path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.exists():
        rule = f"{option} must be a label file or a folder of them"
        raise DataError(f"score: {rule}, got {path}, which does not exist")
    files = [file for file in iter_files(path) if file.name.lower().endswith(ENDINGS)]
    if not files:
        raise DataError(f"score: {option} must hold .nii or .nii.gz files, got none below {path}")
    return files


def _check_same_kind(reference: Path, prediction: Path) -> None:
    if reference.is_file() != prediction.is_file():
        got = "a file and a folder" if reference.is_file() else "a folder and a file"
        rule = "--reference and --prediction must be two files or two folders"
        raise DataError(f"score: {rule}, got {got}")


def _check_known(predictions: Mapping[str, Path], cases: Mapping[str, Case]) -> None:
    strangers = sorted(predictions.keys() - cases.keys())
    if strangers:
        rule = f"every prediction must have a reference, got none for {list_first(strangers)}"
        hint = f"name them as the case or its label, such as {next(iter(cases))}.nii.gz"
        raise DataError(f"score: {rule} ({hint})")


def _choose_release(
    releases: Sequence[Release], root: Path, files: Sequence[Path], asked: str | None
) -> tuple[Release, bool]:
    """Return the release that was asked for or fits most files, and whether it is a guess."""
    if asked is None:
        paths = _paths_of(files)
        hints = list_hints(root, _paths_below(root, files).values())
        found = recognise_release(releases, paths, hints)
        check_named("score", root, found)
        return found.release, bool(found.rivals)
    by_name = {release.name: release for release in releases}
    if asked not in by_name:
        raise ValueError(f"score: unknown release '{asked}'{suggest(asked, list(by_name))}")
    return by_name[asked], False


def _find_references(release: Release, files: Sequence[Path]) -> dict[str, Case]:
    """Return the cases by id: those of the release if it knows a label, else one for each file."""
    hits = find_hits(release, _paths_of(files))
    labels = [(hit.case, hit.path) for hit in hits if hit.role in release.label_roles]
    channel, roles = next(iter(release.channels.items()))
    images = {hit.case: {channel: hit.path} for hit in hits if hit.role in roles}
    found = _check_unique("--reference", labels or [(stem(file).name, file) for file in files])
    cases = {}
    for name, path in found.items():
        spacing_known = name not in release.spacing_unknown
        cases[name] = Case(name, name, images.get(name, {}), path, release.stack, spacing_known)
    return cases


def _name_predictions(release: Release, files: Sequence[Path]) -> dict[str, Path]:
    known = {hit.path: hit.case for hit in find_hits(release, _paths_of(files))}
    named = [(known.get(file, stem(file).name), file) for file in files]
    return _check_unique("--prediction", named)


def _paths_of(files: Sequence[Path]) -> dict[Path, str]:
    return {file: file.absolute().as_posix() for file in files}


def _paths_below(root: Path, files: Sequence[Path]) -> dict[Path, str]:
    folder = root.parent if root.is_file() else root
    return {file: file.relative_to(folder).as_posix() for file in files}


def _check_unique(option: str, named: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, path in named:
        if name in found:
            rule = f"{option} must hold one file for case {name}"
            raise DataError(f"score: {rule}, got {found[name]} and {path}")
        found[name] = path
    return dict(sorted(found.items()))
