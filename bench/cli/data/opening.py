"""The data sets that the commands below `data` are about."""

from pathlib import Path
from typing import Annotated

from typer import Option

import datasets as registry
from bench.cli.request import read_releases
from bench.grid.cells import parse_names
from datasets.base import Dataset, NoCasesError
from datasets.layouts.contents import describe_unrecognised
from datasets.layouts.discovery import list_paths
from datasets.nnunet.naming import list_folders

Root = Annotated[Path | None, Option(help="Folder of the data as downloaded; none for datalists.")]
Told = Annotated[
    str | None, Option(help="brats2020, kits23, ...; default: by the names of the files.")
]


def open_all(root: Path | None, names: str | None, release: str | None) -> list[Dataset]:
    """Open the data sets that are named, or all that the root holds.

    Raises: ValueError for an unknown name; DataError if the root holds none, or mixes releases.
    """
    told = read_releases(release)
    listed = parse_names(names, registry.names(), "--datasets") if names else list(told)
    listed = registry.name_releases(listed, told)
    if root is None and not (listed and all(map(registry.is_datalist, listed))):
        raise ValueError("data: give --data-root, or datalists alone as --datasets")
    if root is not None and not listed:
        return _recognise(root)
    opened = []
    for name in listed:
        folder = Path(name) if registry.is_datalist(name) else root or Path()
        opened.append(registry.build(name, folder))
    return opened


def _recognise(root: Path) -> list[Dataset]:
    if not root.is_dir():
        list_paths("data", root)  # which raises
    folders = list_folders(root)
    if folders:
        return [registry.build(name, root) for name in folders]
    found: list[Dataset] = []
    labels_alone: list[NoCasesError] = []
    for name in registry.names():
        try:
            dataset = registry.open_root(name, root)
            _ = dataset.discovery
            found.append(dataset)
        except NoCasesError as error:
            if "labels but no volume" in str(error):
                labels_alone.append(error)
    if labels_alone and not found:
        raise labels_alone[0]
    if not found:
        releases = [each for name in registry.names() for each in registry.get(name).releases]
        found_instead = describe_unrecognised(root, list_paths("data", root), releases)
        raise NoCasesError(f"data: no case was recognised: {found_instead}")
    return found
