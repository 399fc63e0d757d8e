"""Lists of the protocol's settings and of the presets."""

from rich.console import Console

from bench.cli.listing.entries import print_entries
from bench.specs.presets import PRESETS
from bench.specs.settings import SettingRow, list_changes, list_settings


def show_settings(console: Console) -> None:
    """Print every setting that `--set` takes."""
    console.print("--set KEY=VALUE changes one of these. The values of presets are those that")
    console.print("differ from the default.\n")
    print_entries(console, [(row.key, _describe(row)) for row in list_settings()])


def _describe(row: SettingRow) -> list[str]:
    facts = [f"must be {row.rule}", f"default {row.default or '(empty)'}"]
    changed = [f"{name} {value}" for name, value in row.presets.items() if value != row.default]
    return [row.help, "; ".join([*facts, *changed])]


def show_presets(console: Console) -> None:
    """Print the presets and the settings in which they differ from the defaults."""
    entries = []
    for name, preset in PRESETS.items():
        changes = [f"{key}={value}" for key, value in list_changes(name).items()]
        entries.append((name, [preset.summary, " ".join(changes)]))
    print_entries(console, entries)
