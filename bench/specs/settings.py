"""Every setting of the protocol: what it is, what it must be, and its value in each preset."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from bench.specs.presets import PRESETS
from bench.specs.protocol import SECTIONS, Protocol
from methods.settings import ANY


@dataclass(frozen=True)
class SettingRow:
    """A setting in words, as `--set` takes its values."""

    key: str  # "train.lr"
    help: str
    rule: str  # what a value must be
    default: str
    presets: dict[str, str]  # its value in each
    choices: tuple[str, ...] = ()  # where it is one of some words


def list_settings() -> list[SettingRow]:
    """Return a row for each setting, in the order of the protocol."""
    return list(_iter_settings())


def list_changes(name: str) -> dict[str, str]:
    """Return the settings of a preset that differ from the defaults."""
    return {
        row.key: row.presets[name] for row in list_settings() if row.presets[name] != row.default
    }


def _iter_settings() -> Iterator[SettingRow]:
    for section in SECTIONS:
        for item in fields(getattr(Protocol(), section)):
            rule = item.metadata["must_be"]
            values = {}
            for name, preset in PRESETS.items():
                values[name] = _word(getattr(getattr(preset.protocol, section), item.name))
            words = _name_type(item.default) if rule is ANY else rule.text
            help_text = item.metadata["help"]
            key = f"{section}.{item.name}"
            choices = rule.choices or (("true", "false") if isinstance(item.default, bool) else ())
            yield SettingRow(key, help_text, words, _word(item.default), values, choices)


def _name_type(default: Any) -> str:
    if isinstance(default, bool):
        return "true or false"
    return "a whole number" if isinstance(default, int) else "a word"


def _word(value: Any) -> str:
    """Return a value as it is typed."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
