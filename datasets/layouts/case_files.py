"""From the files of a release to cases: choose a file for each channel, report missing ones."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.base import Case, NoCasesError, Problem, Release, list_first
from datasets.files import describe_os_error

LABEL = ""  # stands for the label among the channels


@dataclass(frozen=True)
class Hit:
    """A file that a release knows."""

    path: Path
    case: str
    patient: str
    role: str


@dataclass(frozen=True)
class CaseFiles:
    """What the files of a release make up; each list is sorted by id."""

    cases: list[Case]  # complete ones
    incomplete: list[Case]  # without an image or their label, but with files that can be read
    problems: list[Problem]


def build_cases(name: str, root: Path, release: Release, hits: Sequence[Hit]) -> CaseFiles:
    """Return the cases and all problems; raise NoCasesError for labels alone."""
    groups: dict[str, list[Hit]] = defaultdict(list)
    for hit in hits:
        groups[hit.case].append(hit)
    built = CaseFiles([], [], [])
    orphans: list[Path] = []
    for case_id, group in sorted(groups.items()):
        where = f"{name}: case {case_id}"
        files, wrong = _choose_files(where, release, group)
        case = _build_case(release, group[0], files)
        if release.orphan_labels and not case.images:
            orphans += case.files
            continue
        missing = _find_missing(where, release, case, root, group[0].path.parent)
        built.problems.extend([*wrong, *missing])
        if all(each.is_warning for each in (*wrong, *missing)):
            built.cases.append(case)
        elif all(each.is_warning for each in wrong):
            built.incomplete.append(case)
    if not built.cases and not built.problems:
        text = f"{name}: labels but no volume below {root}"
        raise NoCasesError(f"{text} (looked for {release.layout})")
    if orphans:
        listed = list_first([path.name for path in orphans])
        text = f"{name}: labels without a volume, which are left out: {len(orphans)} ({listed})"
        built.problems.append(Problem("", text, is_warning=True))
    return built


def stem(path: Path) -> Path:
    """Return the path without ``.nii`` or ``.nii.gz`` (Path.stem would leave the ``.nii``)."""
    return path.with_name(re.sub(r"(?i)\.nii(\.gz)?$", "", path.name))


def check_presence(where: str, case_id: str, files: Iterable[Path]) -> list[Problem]:
    """Return which files do not exist or are empty."""
    problems = []
    for path in files:
        try:
            size = path.stat().st_size if path.exists() else None
        except OSError as error:  # a name that is too long, a folder that may not be read
            problems.append(Problem(case_id, f"{where}: {describe_os_error(error)}"))
            continue
        if size:
            continue
        if size == 0:
            text = f"{path} is empty, 0 bytes (fetch the file again)"
        elif path.is_symlink():
            text = f"{path} is a link to {path.readlink()}, which does not exist (mend the link)"
        else:
            text = f"no file {path} (fetch it, or mend the path)"
        problems.append(Problem(case_id, f"{where}: {text}"))
    return problems


def _build_case(release: Release, hit: Hit, files: dict[str, Path]) -> Case:
    images = {channel: files[channel] for channel in release.channels if channel in files}
    if release.stack and images:  # the file of the first channel is that of all
        images = dict.fromkeys(release.channels, next(iter(images.values())))
    return Case(
        id=hit.case,
        patient=hit.patient,
        images=images,
        label=files.get(LABEL),
        stack=release.stack,
        spacing_known=hit.case not in release.spacing_unknown,
    )


def _choose_files(
    where: str, release: Release, hits: Sequence[Hit]
) -> tuple[dict[str, Path], list[Problem]]:
    """Return channel -> file of one case, and what is wrong with the files' names and sizes."""
    channel_of = dict.fromkeys(release.label_roles, LABEL)
    for channel, roles in release.channels.items():
        for role in roles:
            channel_of.setdefault(role, channel)
    files: dict[str, Path] = {}
    problems = _check_folders(where, release, hits)
    for hit in hits:
        channel = channel_of[hit.role]
        known = files.setdefault(channel, hit.path)
        if known.resolve() == hit.path.resolve():
            continue
        role = channel or "the label"
        if stem(known) != stem(hit.path):
            text = f"{where} has two files for {role}: {known} and {hit.path} (keep one of them)"
            problems.append(Problem(hit.case, text))
            continue
        files[channel] = known if known.name.lower().endswith(".gz") else hit.path
        text = f"{where} has {role} twice, with and without .gz; {files[channel]} is read"
        problems.append(Problem(hit.case, text, is_warning=True))
    problems += check_presence(where, hits[0].case, files.values())
    return files, problems


def _check_folders(where: str, release: Release, hits: Sequence[Hit]) -> list[Problem]:
    """Return a problem for each folder of another case that files of this one are in."""
    strangers: dict[str, list[Path]] = {}
    for hit in hits:
        folder = hit.path.parent.name
        if release.case_folder and re.fullmatch(release.case_folder, folder):
            starts_alike = re.match(re.escape(folder) + "[_-]", hit.path.name, re.IGNORECASE)
            if not starts_alike and hit.role != "segm":
                strangers.setdefault(folder, []).append(hit.path)
    problems = []
    for folder, paths in strangers.items():
        if len(paths) == 1:
            text = f"a file in the folder of case {folder}: {paths[0]} (move it to its own)"
        else:
            rest = f"{len(paths)} files in the folder of case {folder}, such as {paths[0]}"
            text = f"{rest} (move them to their own)"
        problems.append(Problem(hits[0].case, f"{where} has {text}"))
    return problems


def _find_missing(
    where: str, release: Release, case: Case, root: Path, folder: Path
) -> list[Problem]:
    problems = []
    for channel in release.channels:
        if channel not in case.images:
            hint = f"looked for {release.layout}{release.no_image_hint}"
            text = f"{where} has no {channel} volume in {folder} ({hint})"
            problems.append(Problem(case.id, text))
    if case.label is None and case.images and _must_be_labelled(release, root, case):
        part = f"a case of this part of {release.title} has one: fetch it again"
        text = f"{where} has no label (looked for {release.layout}; {part})"
        problems.append(Problem(case.id, text))
    return problems


def _must_be_labelled(release: Release, root: Path, case: Case) -> bool:
    image = next(iter(case.images.values()))
    place = f"{case.id} {root.name}/{image.relative_to(root).as_posix()}"
    return release.expects_label != "" and re.search(release.expects_label, place) is not None
