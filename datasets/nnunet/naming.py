"""The names of nnU-Net's raw folders, which the registry knows without reading anything."""

import re
from pathlib import Path

DESCRIPTION = "dataset.json"
NAME = re.compile(r"Dataset\d{3}_[\w.+-]+")


def is_folder_name(text: str) -> bool:
    """Return whether a word is the name of a raw folder, such as Dataset137_BraTS."""
    return NAME.fullmatch(text) is not None and not text.endswith(".json")


def list_folders(root: Path) -> list[str]:
    """Return the names of the data sets below ``nnUNet_raw``, or of the one that ``root`` is."""
    if not root.is_dir():
        return []
    own = root.resolve().name
    folders = {own: root} if is_folder_name(own) else {}
    for folder in sorted(root.iterdir()):
        if is_folder_name(folder.name):
            folders[folder.name] = folder
    return [name for name, folder in folders.items() if (folder / DESCRIPTION).is_file()]
