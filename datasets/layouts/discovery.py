"""Find the files of a data set at any depth below a root, and tell which release they belong to."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.base import DataError, Discovery, NoCasesError, Problem, Release
from datasets.layouts.case_files import Hit, build_cases

CLUTTER = (".", "_")  # macOS leaves ._name.nii.gz beside each file of a copied folder


@dataclass(frozen=True)
class Recognition:
    """The release that some files belong to, by their names."""

    release: Release  # knows most of the files
    runner_up: str  # title of the release that knows second most; empty if no other knows any
    rivals: tuple[Release, ...]  # fit equally well, but their labels mean something else
    hits: Mapping[str, list[Hit]]  # release name -> the files that it knows


def discover_release(
    name: str, root: Path, releases: Sequence[Release], asked: str = ""
) -> Discovery:
    """Return the release that knows most of the files below the root, and its cases.

    ``asked`` is the release that the user names: it decides where the names of the files and the
    clues fit several.

    Raises: DataError if the root is no folder, holds no case, mixes releases, or holds another
    release than the one that is asked for.
    """
    layouts = "; ".join(dict.fromkeys(release.layout for release in releases))
    if not root.is_dir():
        raise DataError(f"{name}: no folder {root} (looked for {layouts})")
    paths = {file: file.relative_to(root).as_posix() for file in iter_files(root)}
    hints = [root.resolve().as_posix(), *paths.values()]
    found = recognise_release(releases, paths, hints, asked)
    release = found.release
    hits = found.hits[release.name]
    if not hits:
        raise NoCasesError(f"{name}: no case below {root} (looked for {layouts})")
    _check_unmixed(name, root, found, releases)
    _check_asked(root, release, releases, asked)
    cases, problems = build_cases(release.identity, root, release, hits)
    if found.rivals:
        rival = found.rivals[0].title
        text = f"{root} is read as {release.title}, the names would fit {rival} as well"
        hint = f"its labels differ; --datasets {found.rivals[0].identity} names it"
        problems.insert(0, Problem("", f"{release.identity}: {text} ({hint})", is_warning=True))
    return Discovery(tuple(cases), tuple(problems), release, found.runner_up)


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

    Between equals a clue in ``hints`` decides, then the name that was ``asked`` for, then the order
    of the releases.
    """
    hits = {}
    fits = {}
    for release in releases:
        hits[release.name] = find_hits(release, paths)
        is_asked = asked == release.identity
        fits[release.name] = (len(hits[release.name]), _has_clue(release, hints), is_asked)
    best, *others = sorted(releases, key=lambda each: fits[each.name], reverse=True)
    rivals = []
    for other in others:
        if fits[other.name] == fits[best.name] and other.meaning != best.meaning:
            rivals.append(other)
    runner_up = others[0].title if others and hits[others[0].name] else ""
    return Recognition(best, runner_up, tuple(rivals), hits)


def find_hits(release: Release, paths: Mapping[Path, str]) -> list[Hit]:
    """Return the files that the release knows; ``paths`` as in `recognise_release`."""
    patterns = [re.compile(rf"(?:^|/){pattern}\.nii(?:\.gz)?$") for pattern in release.files]
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
