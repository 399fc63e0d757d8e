"""The data sets by name. Each is one file, imported on first use, and one line in ``DATASETS``.

A data set without a number (``brats``) means any of its releases. A release is a data set of its
own: the challenge with its year (``brats2020``, ``kits21``) or the number of its task (``msd01``).
A datalist and a raw folder of nnU-Net are data sets without a line here.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.base import DataError, NoCasesError, unknown_name
from datasets.nnunet.naming import is_folder_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets.base import Dataset, Release
    from datasets.layouts.released import ReleasedDataset

__distribution__ = "medtuning-bench"
DATASETS = {
    "brats": "datasets.brats:Brats",
    "kits": "datasets.kits:Kits",
    "lits": "datasets.lits:Lits",
}


def names() -> list[str]:
    """Return the names of the data sets without their releases, sorted."""
    return sorted(DATASETS)


@cache
def releases() -> dict[str, tuple[str, Release]]:
    """Return, for the name of each release, the name of its data set and its facts."""
    found = {}
    for name in names():
        for release in sorted(_import(name).releases, key=lambda each: each.name):
            if not release.copy_of:
                found[release.name] = (name, release)
    return found


def family_of(name: str) -> str:
    """Return the data set that a release belongs to; any other name is returned as it is."""
    return releases()[name][0] if name in releases() else name


def members_of(name: str) -> list[str]:
    """Return the name, and those of its releases if it is a data set with releases."""
    members = [each for each, (family, _) in releases().items() if family == name]
    return list(dict.fromkeys([name, *members]))


def check_name(name: str) -> None:
    """Raise ValueError with the nearest name if there is no such data set or release."""
    if name not in DATASETS and name not in releases() and not is_folder_name(name):
        raise unknown_name("data set", name, [*DATASETS, *releases()])


def name_releases(listed: Sequence[str], named: Sequence[str]) -> list[str]:
    """Return the data sets of a list; one whose release is named becomes that release.

    Raises: ValueError if there is no such release, or its data set is not in the list.
    """
    names = list(listed)
    for release in named:
        if release not in releases():
            raise unknown_name("release", release, releases())
        family = family_of(release)
        if family not in names and release not in names:
            rule = f"{release} is a release of {family}, got --datasets {','.join(listed)}"
            raise ValueError(f"--release: {rule}")
        names = [release if name == family else name for name in names]
    return names


def get(name: str) -> type[ReleasedDataset]:
    """Return the class of a data set or release; raise ValueError with the nearest name if none."""
    if name not in DATASETS and name not in releases():
        raise unknown_name("data set", name, [*DATASETS, *releases()])
    return _import(family_of(name))


def _import(name: str) -> type[ReleasedDataset]:
    module, _, attribute = DATASETS[name].partition(":")
    return getattr(import_module(module), attribute)


def count_channels(name: str, root: Path) -> int:
    """Return the number of channels of a data set, whose cases are not looked for.

    Raises: as `open_root`; DataError if the description of the data is missing or wrong.
    """
    if name not in DATASETS and name not in releases():
        return len(open_root(name, root).info.channels)
    family = get(name)
    release = family.find_release(name) if name in releases() else family.releases[0]
    return len(release.channels)


def is_datalist(text: str) -> bool:
    """Return whether a word is a file that describes a data set, not the name of one."""
    return text.endswith(".json")


def build(name: str, root: Path) -> Dataset:
    """Return the data set of a root that holds at least one case.

    Raises: ValueError for an unknown name, or a datalist with the name of a public data set;
    DataError if the folder is missing, empty, mixes releases or holds another one than is named, or
    the datalist is wrong.
    """
    dataset = open_root(name, root)
    known = dataset.info.name if is_datalist(root.name) else ""
    if known in DATASETS or known in releases():
        rule = f"name: '{known}' is the name of a public data set"
        hint = f'give it another "name", or use --datasets {known} --data-root {root.parent}'
        raise ValueError(f"datalist: {root}: {rule} ({hint})")
    try:
        _ = dataset.discovery
    except NoCasesError as error:
        title = _find_elsewhere(family_of(name), root) if family_of(name) in DATASETS else ""
        if not title:
            raise
        raise NoCasesError(f"{name}: {root} must hold a release of {name}, got {title}") from error
    return dataset


def _find_elsewhere(name: str, root: Path) -> str:
    """Return what another data set than ``name`` reads below a root; empty if none does."""
    for other in names():
        if other == name:
            continue
        try:
            info = get(other)(root).info
        except DataError:
            continue
        return f"{info.title} (--datasets {info.name} reads it)"
    return ""


def open_root(name: str, root: Path) -> Dataset:
    """Return the data set of a folder or datalist, unread; raise ValueError for an unknown name."""
    if is_datalist(root.name):
        from datasets.layouts.datalist import Datalist

        return Datalist(root)
    if is_folder_name(name):
        from datasets.nnunet.folder import NnunetFolder

        return NnunetFolder(name, root)
    return get(name)(root, name if name in releases() else "")
