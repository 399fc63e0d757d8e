"""Find the files of a data set at any depth below a root, and tell which release they belong to."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.base import DataError, Discovery, NoCasesError, Problem, Release
from datasets.layouts.case_files import CaseFiles, Hit, build_cases
from datasets.layouts.contents import describe_unrecognised, find_format

CLUTTER = (".", "_")  # macOS leaves ._name.nii.gz beside each file of a copied folder


@dataclass(frozen=True)
class Recognition:
    """The release that some files belong to, by their names."""

    release: Release  # knows most of the files
    runner_up: str  # title of the release that knows second most; empty if no other knows any
    rivals: tuple[Release, ...]  # fit equally well, but their labels mean something else
    hits: Mapping[str, list[Hit]]  # release name -> the files that it knows

    @property
    def must_be_named(self) -> bool:
        """Return whether a guess between the rivals could give labels a wrong meaning."""
        return bool(self.rivals) and self.release.must_be_named


@dataclass(frozen=True)
class OtherTask:
    """Files of the same collection that are no data set here."""

    title: str
    files: str  # a pattern of a path below the root
    reason: str


def discover_release(
    name: str,
    root: Path,
    releases: Sequence[Release],
    asked: str = "",
    others: Sequence[OtherTask] = (),
) -> Discovery:
    """Return the release that knows most of the files below the root, and its cases.

    ``asked`` is the release that the user names: it decides where the names of the files fit
    several. ``others`` are refused by their names.

    Raises: DataError if the root is no folder, holds no case, mixes releases, holds another
    release than the one that is asked for or one that must be named, or files of other tasks.
    """
    paths = list_paths(name, root)
    refuse_other_tasks(name, root, paths, others)
    found = recognise_release(releases, paths, list_hints(root, paths.values()), asked)
    release = found.release
    hits = found.hits[release.name]
    if not hits:
        found_instead = describe_unrecognised(root, paths, releases)
        raise NoCasesError(f"{name}: no case was recognised: {found_instead}")
    _check_unmixed(name, root, found, releases)
    _check_asked(root, release, releases, asked)
    check_named(name, root, found)
    built = build_cases(release.identity, root, release, hits)
    problems = [*_find_empty_folders(release, root, built), *built.problems]
    if found.rivals:
        rival = found.rivals[0].title
        text = f"{root} is read as {release.title}, the names would fit {rival} as well"
        hint = f"its labels differ; --release {found.rivals[0].identity} names it"
        problems.insert(0, Problem("", f"{release.identity}: {text} ({hint})", is_warning=True))
    cases, incomplete = tuple(built.cases), tuple(built.incomplete)
    return Discovery(cases, tuple(problems), release, found.runner_up, incomplete)


def _find_empty_folders(release: Release, root: Path, built: CaseFiles) -> list[Problem]:
    """Return a warning for a folder without files that is named as those of the cases are."""
    parents = {path.parent for case in (*built.cases, *built.incomplete) for path in case.files}
    forms = {(folder.parent, _blank_digits(folder.name)) for folder in parents - {root}}
    known = {each.case for each in built.problems}  # whose files are somewhere else
    problems = []
    for above in sorted({place for place, _ in forms}):
        for folder in sorted(above.iterdir()):
            is_case = (above, _blank_digits(folder.name)) in forms and folder not in parents
            is_case = is_case and folder.is_dir() and folder.name not in known
            if is_case and not any(iter_files(folder)):
                text = f"{folder} is empty (fetch its files again, or remove the folder)"
                problem = Problem(folder.name, f"{release.identity}: {text}", is_warning=True)
                problems.append(problem)
    return problems


def _blank_digits(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def list_paths(name: str, root: Path) -> dict[Path, str]:
    """Return the files below a root, each with its path below it; DataError if it is no folder."""
    if not root.is_dir():
        kind = find_format(root)
        hint = f"{kind.title}: {kind.remedy}" if kind else "give the folder of the data"
        fault = f"{root} is a file ({hint})" if root.exists() else f"there is no folder {root}"
        raise DataError(f"{name}: {fault}")
    return {file: file.relative_to(root).as_posix() for file in iter_files(root)}


def iter_files(root: Path) -> Iterator[Path]:
    """Yield files in a fixed order, without clutter; follow links, but enter each folder once."""
    entered = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:
            subfolders.clear()
            continue
        entered.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(CLUTTER))
        for name in sorted(files):
            if not name.startswith(CLUTTER):
                yield Path(folder, name)


def recognise_release(
    releases: Sequence[Release], paths: Mapping[Path, str], hints: Sequence[str], asked: str = ""
) -> Recognition:
    """Return which release knows most of ``paths``.

    Between equals the name that was ``asked`` for decides, then a clue in ``hints``, then the order
    of the releases.
    """
    hits = {release.name: find_hits(release, paths) for release in releases}
    for release in releases:
        is_mixed = all(hits[part] for part in release.mixes)
        if asked != release.identity and not is_mixed:
            hits[release.name] = []
    fits = {}
    for release in releases:
        is_asked = asked == release.identity
        fits[release.name] = (len(hits[release.name]), is_asked, _has_clue(release, hints))
    best, *others = sorted(releases, key=lambda each: fits[each.name], reverse=True)
    rivals = []
    for other in others:
        if fits[other.name] == fits[best.name] and other.meaning != best.meaning:
            rivals.append(other)
    runner_up = others[0].title if others and hits[others[0].name] else ""
    return Recognition(best, runner_up, tuple(rivals), hits)


def list_hints(root: Path, paths: Iterable[str]) -> list[str]:
    """Return where clues are searched: the names of the root and of what is below it.

    A folder above the root, such as a user's project, is of no release.
    """
    names = dict.fromkeys((root.absolute().name, root.resolve().name))
    return [*names, *paths]


def find_hits(release: Release, paths: Mapping[Path, str]) -> list[Hit]:
    """Return the files that the release knows; ``paths`` as in `recognise_release`."""
    patterns = [re.compile(rf"(?:^|/){each}(?i:\.nii(?:\.gz)?)$") for each in release.files]
    hits = []
    for path, text in paths.items():
        for pattern in patterns:
            match = pattern.search(text)
            if match:
                hits.append(_build_hit(release, path, match))
                break
    return hits


def _build_hit(release: Release, path: Path, match: re.Match[str]) -> Hit:
    groups: dict[str, str | int] = {}
    for key, value in match.groupdict("").items():
        groups[key] = int(value) if value.isdigit() else value
    case = release.case_id.format(**groups)
    patient = release.patient_id.format(**groups) or case
    return Hit(path, case, patient, match["role"].lower())


def _has_clue(release: Release, hints: Sequence[str]) -> bool:
    return release.clue != "" and any(re.search(release.clue, hint) for hint in hints)


def _check_asked(root: Path, found: Release, releases: Sequence[Release], asked: str) -> None:
    if asked in ("", found.identity):
        return
    wanted = next(each.title for each in releases if each.identity == asked)
    hint = f"--datasets {found.identity} reads it"
    raise DataError(f"{asked}: {root} must hold {wanted}, got {found.title} ({hint})")


def refuse_other_tasks(
    name: str, root: Path, paths: Mapping[Path, str], tasks: Sequence[OtherTask]
) -> None:
    """Raise DataError if a file below the root is named as those of a task that is not read."""
    for task in tasks:
        found = [path for path, text in paths.items() if re.search(task.files, text)]
        if found:
            what = f"{root} holds {task.title} ({len(found)} files such as {found[0]})"
            raise DataError(f"{name}: {what}, which is not read: {task.reason}")


def check_named(name: str, root: Path, found: Recognition) -> None:
    """Raise DataError if only the user can tell which of two releases is below the root."""
    if found.must_be_named:
        equals = (found.release, *found.rivals)
        titles = " or ".join(each.title for each in equals)
        ways = " or ".join(f"--release {each.identity}" for each in equals)
        rule = "whose label values mean different things; the names of the files do not tell"
        raise DataError(f"{name}: {root} holds {titles}, {rule} (give {ways})")


def _check_unmixed(name: str, root: Path, found: Recognition, releases: Sequence[Release]) -> None:
    known = {hit.path for hit in found.hits[found.release.name]}
    for other in releases:
        foreign = [hit.path for hit in found.hits[other.name] if hit.path not in known]
        if foreign:
            raise DataError(
                f"{name}: {root} must hold one release, got {found.release.title} "
                f"({len(known)} files) and {other.title} ({len(foreign)} files such as "
                f"{foreign[0]}; give each release a root of its own)"
            )
