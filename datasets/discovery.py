"""Find the files of a data set below a root, however deep people have put them."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from datasets.base import DataError, DatasetInfo

CLUTTER = (".", "_")  # macOS leaves ._name.nii.gz beside each file of a copied folder


def group_files(info: DatasetInfo, root: Path, pattern: re.Pattern[str]) -> dict[str, dict[str, Path]]:
    """Return case -> role -> file for all files below the root that match; a role may be a channel or the label.

    ``pattern`` is searched in the path relative to the root (with ``/``) and has the groups ``case`` and ``role``.
    Links are followed. Of ``x.nii.gz`` and ``x.nii`` the first is taken.

    Raises: DataError if the root is no folder, if nothing matches, or if two files claim one role of a case.
    """
    if not root.is_dir():
        raise DataError(f"{info.name}: no folder {root} (looked for {info.layout})")
    groups: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in iter_files(root):
        match = pattern.search(path.relative_to(root).as_posix())
        if match is None:
            continue
        case, role = match["case"], match["role"]
        known = groups[case].get(role)
        if known is not None and stem(known) != stem(path):
            raise DataError(f"{info.name}: case {case} has two files for {role}: {known} and {path} (keep one of them)")
        if known is None or path.name.endswith(".gz"):
            groups[case][role] = path
    if not groups:
        raise DataError(f"{info.name}: no case below {root} (looked for {info.layout})")
    return dict(groups)


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


def stem(path: Path) -> Path:
    """Return the path without ``.nii`` or ``.nii.gz`` (Path.stem would leave the ``.nii``)."""
    return path.with_name(re.sub(r"\.nii(\.gz)?$", "", path.name))
