"""Write docs/settings.md and the list of methods (see `COMMAND`) from the registries."""

import json
from pathlib import Path

from bench.cli.listing.methods import FILE, describe_all
from bench.specs.presets import PRESETS
from bench.specs.protocol import SECTIONS
from bench.specs.settings import list_settings
from docs.articles import table

COMMAND = "python -m docs.generate_lists"
SETTINGS = Path(__file__).with_name("settings.md")
TITLES = {
    "data": "Data and patches",
    "model": "Network",
    "train": "Training",
    "eval": "Inference and scores",
    "tune": "Tuning",
}
HEAD = f"""# Settings

<!-- Written by `{COMMAND}`. -->

Every field of the protocol. `--set train.lr=3e-4` changes one; it can be given several times. Two
runs are compared only if all of these are equal. `bench list settings` prints the same list. Bold:
the preset differs from the default.
"""


def write_settings() -> str:
    """Return the page of the settings as Markdown."""
    parts = [HEAD]
    heads = ["setting", "what it is", "must be", "default", *(f"`{name}`" for name in PRESETS)]
    for section in SECTIONS:
        rows = []
        for row in list_settings():
            if row.key.startswith(f"{section}."):
                values = []
                for value in row.presets.values():
                    word = _code(value)
                    values.append(word if value == row.default else f"**{word}**")
                words = [row.help.replace("|", "or"), row.rule]
                rows.append([f"`{row.key}`", *words, _code(row.default), *values])
        parts.append(f"## {TITLES[section]}\n\n{table(heads, rows)}\n")
    return "\n".join(parts)


def write_methods() -> str:
    """Return the lines about every method as JSON."""
    return json.dumps(describe_all(), indent=1, ensure_ascii=False) + "\n"


def _code(value: str) -> str:
    return f"`{value}`" if value else "(empty)"


if __name__ == "__main__":
    SETTINGS.write_text(write_settings(), encoding="utf-8")
    FILE.write_text(write_methods(), encoding="utf-8")
