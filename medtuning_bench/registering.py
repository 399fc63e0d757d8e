"""A user's own methods, data sets and backbones, by names of their own."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import datasets
from bench.grid.cells import split_list
from bench.models.backbones.info import BackboneInfo
from medtuning_bench.place import as_program
from methods.base import Method

METHOD, DATASET, BACKBONE = "method", "dataset", "backbone"
OWN: dict[str, dict[str, str]] = {METHOD: {}, DATASET: {}, BACKBONE: {}}  # kind: name: where it is


@as_program()
def register(thing: type[Method] | str | Path, name: str = "") -> str:
    """Let `run` know an own method, data set or backbone by a name, and return that name.

    Every run is a process of its own, so what is registered must be in a file: a class that is
    written into a notebook's cell cannot be imported there (``%%writefile my_method.py`` writes
    the cell into a file).

    Args:
        thing: a subclass of ``methods.base.Method``; ``"package.module:NAME"`` of such a class or
            of a ``bench.models.backbones.info.BackboneInfo``; or a datalist (``.json``).
        name: empty: what the method, data set or backbone calls itself.

    Raises: ValueError if it is none of these, or cannot be imported by another process.
    """
    if isinstance(thing, type):
        if thing.__module__ == "__main__":
            hint = "put it into a file, such as with %%writefile, and import it"
            rule = f"{thing.__name__} must be importable"
            raise ValueError(f"register: {rule}, got one of __main__ ({hint})")
        return register(f"{thing.__module__}:{thing.__qualname__}", name)
    text = str(thing)
    if datasets.is_datalist(text):
        kind, own, place = DATASET, datasets.open_root(text, Path(text)).info.name, text
        place = str(Path(text).resolve())
    else:
        kind, own = _describe(text)
        place = text
    OWN[kind][name or own] = place
    return name or own


def find_own(kind: str, text: str) -> str:
    """Return a comma list with the places of what is registered instead of its names."""
    if not text:
        return text
    found = []
    for item in split_list(text, f"--{kind}"):
        name, bracket, rest = item.partition("[")
        found.append(OWN[kind].get(name, name) + bracket + rest)
    return ",".join(found)


def _describe(path: str) -> tuple[str, str]:
    """Return whether a path names a method or a backbone, and what it calls itself."""
    found = _import(path)
    if isinstance(found, type) and issubclass(found, Method):
        return METHOD, found.info.name
    if isinstance(found, BackboneInfo):
        return BACKBONE, found.name
    rule = "must be a subclass of Method, a BackboneInfo, or a datalist (.json)"
    raise ValueError(f"register: {rule}, got {path}")


def _import(path: str) -> Any:
    module, colon, attribute = path.partition(":")
    if not colon:
        raise ValueError(f"register: must look like package.module:NAME, got '{path}'")
    try:
        return getattr(import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise  # the module itself imports something that is missing
        raise ValueError(f"register: there is no module '{module}', got '{path}'") from None
