"""What a shell completes: the values of options. Nothing heavy is imported."""

from collections.abc import Callable, Iterable

import datasets
import methods
from bench.models import registry
from bench.models.references import registry as references
from bench.specs.presets import PRESETS
from bench.specs.settings import list_settings

Complete = Callable[[str], list[str]]


def _complete_last(known: Iterable[str], typed: str) -> list[str]:
    """Return the words that the last one of a comma list may become."""
    before, comma, last = typed.rpartition(",")
    return [f"{before}{comma}{word}" for word in known if word.startswith(last)]


def complete_methods(incomplete: str) -> list[str]:
    """Return methods, families and reference networks."""
    known = [*methods.names(), *methods.groups(), *references.names()]
    return _complete_last(dict.fromkeys(known), incomplete)


def complete_datasets(incomplete: str) -> list[str]:
    """Return data sets and their releases."""
    return _complete_last(["all", *datasets.names(), *datasets.releases()], incomplete)


def complete_setting(incomplete: str) -> list[str]:
    """Return fields of the protocol or, after ``=``, the values that a field may have."""
    key, equals, value = incomplete.partition("=")
    rows = {row.key: row for row in list_settings()}
    if not equals:
        return [f"{name}=" for name in rows if name.startswith(key)]
    if key not in rows:
        return []
    return [f"{key}={each}" for each in rows[key].choices if each.startswith(value)]


def complete_precision(incomplete: str) -> list[str]:
    """Return the arithmetics."""
    start = "train.precision="
    return [each.removeprefix(start) for each in complete_setting(start + incomplete)]


def complete_weights(incomplete: str) -> list[str]:
    """Return the names of weights of any backbone."""
    known = [weights for name in registry.names() for weights in registry.get(name).weights]
    return [each for each in dict.fromkeys(known) if each.startswith(incomplete)]


def _complete_from(known: Iterable[str]) -> Complete:
    def complete(incomplete: str) -> list[str]:
        return [each for each in known if each.startswith(incomplete)]

    return complete


COMPLETIONS: dict[str, Complete] = {  # by the name of an option
    "methods": complete_methods,
    "datasets": complete_datasets,
    "set": complete_setting,
    "precision": complete_precision,
    "weights": complete_weights,
    "preset": _complete_from(PRESETS),
    "backbone": _complete_from(registry.names()),
    "decoder": _complete_from(["own", "medtuning", *registry.DECODERS]),
    "executor": _complete_from(["local", "slurm"]),
}
