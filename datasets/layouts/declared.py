"""What a user's description of data may declare: names that differ, keys that are there once."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from datasets.base import IGNORED_CLASS

RESERVED = "mean"  # over the regions
LONGEST_NAME = 100  # letters of a class, region or channel
MOST_CLASSES = IGNORED_CLASS  # class maps are uint8; the values from there on mean something else


def check_names(what: str, names: Iterable[str]) -> None:
    """Raise ValueError if a name is too long, empty, not printable or `RESERVED`."""
    for name in names:
        is_fit = name.strip() and name.isprintable() and len(name) <= LONGEST_NAME
        if name == RESERVED or not is_fit:
            rule = f"names must be 1 to {LONGEST_NAME} letters, without '{RESERVED}'"
            raise ValueError(f"{what}: {rule}, got {name[:60]!r}")


def check_distinct(what: str, items: Iterable[object]) -> None:
    """Raise ValueError if an item is there twice, as one of the two would be lost."""
    item, n_times = max(Counter(items).items(), key=lambda pair: pair[1], default=("", 0))
    if n_times > 1:
        raise ValueError(f"{what} must differ, got {item} more than once")


def check_class_count(n_classes: int) -> None:
    """Raise ValueError if there are more classes than class maps can hold."""
    if n_classes > MOST_CLASSES:
        rule = f"must be at most {MOST_CLASSES} with the background"
        raise ValueError(f"labels: {rule}, got {n_classes}")


def check_keys(text: str) -> None:
    """Raise ValueError if an object of a JSON text has a key twice; readers keep the last one."""
    json.loads(text, object_pairs_hook=_check_pairs)


def _check_pairs(pairs: Sequence[tuple[str, object]]) -> None:
    check_distinct("keys of an object", [key for key, _ in pairs])
