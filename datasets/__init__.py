"""The data sets by name. Each is one file, imported on first use, and one line in ``DATASETS``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.base import unknown_name

if TYPE_CHECKING:
    from datasets.base import Dataset
    from datasets.layouts.released import ReleasedDataset

DATASETS = {
    "brats": "datasets.brats:Brats",
    "kits": "datasets.kits:Kits",
    "lits": "datasets.lits:Lits",
}


def names() -> list[str]:
    """Return the names of the data sets, sorted."""
    return sorted(DATASETS)


def check_name(name: str) -> None:
    """Raise ValueError with the nearest name if there is no such data set; imports nothing."""
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)


def get(name: str) -> type[ReleasedDataset]:
    """Return the class of a data set; raise ValueError with the nearest name if there is none."""
    check_name(name)
    module, _, attribute = DATASETS[name].partition(":")
    return getattr(import_module(module), attribute)


def is_datalist(text: str) -> bool:
    """Return whether a word is a file that describes a data set, not the name of one."""
    return text.endswith(".json")


def build(name: str, root: Path) -> Dataset:
    """Return the data set of a root that holds at least one case.

    Raises: ValueError for an unknown name, or a datalist with the name of a public data set;
    DataError if the folder is missing, empty or mixes releases, or the datalist is wrong.
    """
    dataset = open_root(name, root)
    if is_datalist(root.name) and dataset.info.name in DATASETS:
        known = dataset.info.name
        rule = f"name: '{known}' is the name of a public data set"
        hint = f'give it another "name", or use --datasets {known} --data-root {root.parent}'
        raise ValueError(f"datalist: {root}: {rule} ({hint})")
    _ = dataset.discovery
    return dataset


def open_root(name: str, root: Path) -> Dataset:
    """Return the data set of a folder or datalist, unread; raise ValueError for an unknown name."""
    if not is_datalist(root.name):
        return get(name)(root)
    from datasets.layouts.datalist import Datalist

    return Datalist(root)
