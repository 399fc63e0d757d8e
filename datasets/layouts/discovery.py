"""Find the files of a data set below a root, however deep people have put them, and tell which release they are."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.base import Case, DataError, Discovery, NoCasesError, Problem, Release

CLUTTER = (".", "_")  # macOS leaves ._name.nii.gz beside each file of a copied folder


@dataclass(frozen=True)
class Hit:
    """A file that a release knows."""

    path: Path
    case: str
    patient: str
    role: str


def discover_release(name: str, root: Path, releases: Sequence[Release]) -> Discovery:
    """Return what lies below the root: the release that knows most of the files, and its cases.

    Raises: DataError if the root is no folder, holds no case, or holds files of another release
    beside them.
    """
    layouts = "; ".join(dict.fromkeys(release.layout for release in releases))
    if not root.is_dir():
        raise DataError(f"{name}: no folder {root} (looked for {layouts})")
    files = list(iter_files(root))
    paths = {file: file.relative_to(root).as_posix() for file in files}
    hits = {release.name: list(find_hits(release, paths)) for release in releases}
    hints = [root.resolve().as_posix(), *paths.values()]
    ranked = sorted(releases, key=lambda each: (-len(hits[each.name]), not has_clue(each, hints)))
    best, second = ranked[0], ranked[1] if len(ranked) > 1 else None
    if not hits[best.name]:
        raise NoCasesError(f"{name}: no case below {root} (looked for {layouts})")
    _check_unmixed(name, root, best, hits, releases)
    cases, problems = _build_cases(name, root, best, hits[best.name])
    runner_up = second.title if second and hits[second.name] else ""
    if second and runner_up and _is_undecided(best, second, hits, hints):
        text = f"{name}: {root} is read as {best.title}, the names would fit {second.title} as well"
        problems.insert(
            0,
            Problem(
                "", f"{text} (its labels differ; put the release into the folder's name)", True
            ),
        )
    return Discovery(best.title, runner_up, tuple(cases), tuple(problems), best)


def iter_files(root: Path) -> Iterator[Path]:
    """Yield the files below a folder in a fixed order, clutter left out; each folder is entered once, links or not."""
    entered = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:
            subfolders.clear()
            continue
        entered.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(CLUTTER))
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith(CLUTTER))


def find_hits(release: Release, paths: Mapping[Path, str]) -> Iterator[Hit]:
    """Yield the files that the release knows; ``paths`` has, for each file, the path that is looked at."""
    for path, relative in paths.items():
        match = next(filter(None, (pattern.search(relative) for pattern in release.files)), None)
        if match is None:
            continue
        groups = {
            key: int(value) if value.isdigit() else value
            for key, value in match.groupdict("").items()
        }
        case, patient = release.case_id.format(**groups), release.patient_id.format(**groups)
        yield Hit(path, case, patient, match["role"].lower())


def has_clue(release: Release, hints: Sequence[str]) -> bool:
    """Whether any of the paths tells this release from others with the same names of files."""
    return release.clue is not None and any(release.clue.search(hint) for hint in hints)


def _is_undecided(
    best: Release, second: Release, hits: Mapping[str, list[Hit]], hints: Sequence[str]
) -> bool:
    meanings = [(each.label_values, each.classes, each.regions) for each in (best, second)]
    equal = len(hits[best.name]) == len(hits[second.name]) and has_clue(best, hints) == has_clue(
        second, hints
    )
    return equal and meanings[0] != meanings[1]


def _check_unmixed(
    name: str, root: Path, best: Release, hits: Mapping[str, list[Hit]], releases: Sequence[Release]
) -> None:
    known = {hit.path for hit in hits[best.name]}
    for other in releases:
        foreign = [hit.path for hit in hits[other.name] if hit.path not in known]
        if foreign:
            raise DataError(
                f"{name}: {root} must hold one release, got {best.title} ({len(known)} files) and {other.title} "
                f"({len(foreign)} files such as {foreign[0]}; give each release a root of its own)"
            )


def _build_cases(
    name: str, root: Path, release: Release, hits: Sequence[Hit]
) -> tuple[list[Case], list[Problem]]:
    groups: dict[str, list[Hit]] = defaultdict(list)
    for hit in hits:
        groups[hit.case].append(hit)
    cases: list[Case] = []
    problems: list[Problem] = []
    for case_id, group in sorted(groups.items()):
        files, wrong = _choose_files(name, release, case_id, group)
        images = {channel: files[channel] for channel in release.channels if channel in files}
        if not images and release.orphan_labels:
            continue
        where = f"{name}: case {case_id}"
        for channel in release.channels:
            if channel not in images:
                hint = f"looked for {release.layout}{release.no_image_hint}"
                text = f"{where} has no {channel} volume in {group[0].path.parent} ({hint})"
                wrong.append(Problem(case_id, text))
        label = files.get("")
        if (
            label is None
            and images
            and _must_be_labelled(release, root, case_id, next(iter(images.values())))
        ):
            hint = f"looked for {release.layout}; a case of this part of {release.title} has one: fetch it again"
            wrong.append(Problem(case_id, f"{where} has no label ({hint})"))
        problems += wrong
        if any(not each.is_warning for each in wrong):
            continue
        cases.append(
            Case(
                id=case_id,
                patient=group[0].patient,
                images=images,
                label=label,
                stack=release.stack,
                spacing_known=case_id not in release.spacing_unknown,
            )
        )
    if not cases and not problems:
        raise NoCasesError(
            f"{name}: labels but no volume below {root} (looked for {release.layout})"
        )
    return cases, problems


def _choose_files(
    name: str, release: Release, case_id: str, group: Sequence[Hit]
) -> tuple[dict[str, Path], list[Problem]]:
    """Return channel -> file, the label under "", and what is wrong with the files' names and sizes."""
    wanted = {
        role: channel
        for channel, roles in reversed(list(release.channels.items()))
        for role in roles
    }
    wanted |= dict.fromkeys(release.label_roles, "")
    files: dict[str, Path] = {}
    problems: list[Problem] = []
    where = f"{name}: case {case_id}"
    for hit in group:
        if release.case_folder and release.case_folder.fullmatch(hit.path.parent.name):
            problems += _check_folder(where, case_id, hit)
        channel = wanted[hit.role]
        known = files.get(channel)
        if known is not None and known.resolve() != hit.path.resolve():
            role = channel or "the label"
            if stem(known) != stem(hit.path):
                text = (
                    f"{where} has two files for {role}: {known} and {hit.path} (keep one of them)"
                )
                problems.append(Problem(case_id, text))
                continue
            known = min(known, hit.path, key=lambda path: not path.name.endswith(".gz"))
            problems.append(
                Problem(
                    case_id,
                    f"{where} has {role} twice, with and without .gz; {known} is read",
                    True,
                )
            )
        files[channel] = known or hit.path
    problems += [
        problem for path in files.values() for problem in check_presence(where, case_id, path)
    ]
    if release.stack:  # the file of the first channel is that of all
        files |= {channel: files[first] for first in files if first for channel in release.channels}
    return files, problems


def _check_folder(where: str, case_id: str, hit: Hit) -> list[Problem]:
    folder = hit.path.parent.name
    if re.match(re.escape(folder) + "[_-]", hit.path.name, re.IGNORECASE) or hit.role == "segm":
        return []
    return [
        Problem(
            case_id,
            f"{where} has a file in the folder of case {folder}: {hit.path} (move it to its own)",
        )
    ]


def check_presence(where: str, case_id: str, path: Path) -> list[Problem]:
    """Return what is wrong with a file that can be told without reading it."""
    if not path.exists() and not path.is_symlink():
        text = f"{where}: no file {path} (fetch it, or mend the path)"
    elif not path.exists():
        text = (
            f"{where}: {path} is a link to {path.readlink()}, which does not exist (mend the link)"
        )
    elif path.stat().st_size == 0:
        text = f"{where}: {path} is empty, 0 bytes (fetch the file again)"
    else:
        return []
    return [Problem(case_id, text)]


def _must_be_labelled(release: Release, root: Path, case_id: str, image: Path) -> bool:
    place = f"{case_id} {root.name}/{image.relative_to(root).as_posix()}"
    return release.expects_label is not None and release.expects_label.search(place) is not None


def stem(path: Path) -> Path:
    """Return the path without ``.nii`` or ``.nii.gz`` (Path.stem would leave the ``.nii``)."""
    return path.with_name(re.sub(r"\.nii(\.gz)?$", "", path.name))
