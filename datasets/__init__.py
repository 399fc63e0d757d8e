"""The data sets by name. Each is one file; a line in ``DATASETS`` makes it known, and it is imported on first use."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

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
        close = get_close_matches(name, DATASETS, n=1)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        raise ValueError(f"unknown data set '{name}'{hint}; available: {', '.join(names())}")


def get(name: str) -> type[ReleasedDataset]:
    """Return the class of a data set.

    Raises: ValueError with the nearest name if there is none.
    """
    check_name(name)
    module, _, attribute = DATASETS[name].partition(":")
    found: type[ReleasedDataset] = getattr(import_module(module), attribute)
    return found


def is_datalist(text: str) -> bool:
    """Return whether a word is not the name of a data set but a file that describes one."""
    return text.endswith(".json")


def build(name: str, root: Path) -> Dataset:
    """Return the data set below a folder that holds at least one of its cases, or that which a datalist describes.

    Raises: ValueError for an unknown name; DataError if the folder is missing, holds no case, or
    mixes releases, or
        if there is something wrong with the datalist.
    """
    dataset = open_root(name, root)
    if is_datalist(root.name) and dataset.info.name in DATASETS:
        taken = f"name: '{dataset.info.name}' is the name of a public data set"
        hint = f'give it another "name", or use --datasets {dataset.info.name} --data-root {root.parent}'
        raise ValueError(f"datalist: {root}: {taken} ({hint})")
    _ = dataset.discovery
    return dataset


def open_root(name: str, root: Path) -> Dataset:
    """Return the data set of a root, which is a folder or a datalist; nothing is read yet.

    Raises: ValueError for an unknown name.
    """
    if not is_datalist(root.name):
        return get(name)(root)
    from datasets.layouts.datalist import Datalist

    return Datalist(root)
