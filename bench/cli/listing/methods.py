"""The list of methods, from a file that `python -m docs.generate_lists` writes.

Their classes need torch, which takes seconds to import. A method that is not in the file, such as
one that was just added, is read from its class.
"""

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

import methods
from bench.cli.listing.entries import Entry, print_entries
from bench.models.references import registry as references
from reports.formats.terminal import escape

if TYPE_CHECKING:
    from methods.base import Contender, Method

FILE = Path(__file__).with_name("methods.json")
STARTS = {True: "starts as the frozen network", False: "changes the output from the start"}


def show_methods(console: Console) -> None:
    """Print the methods and reference networks with their settings."""
    console.print("Settings go into brackets: lora\\[rank=8]. A family is a group of methods.\n")
    print_entries(console, _iter_methods())


def _iter_methods() -> Iterator[Entry]:
    known = json.loads(FILE.read_text(encoding="utf-8"))
    for name in (*methods.names(), *references.names()):
        yield name, known[name] if name in known else describe(name)


def describe_all() -> dict[str, list[str]]:
    """Return the lines about every method and reference network, by name."""
    return {name: describe(name) for name in (*methods.names(), *references.names())}


def describe(name: str) -> list[str]:
    """Return the lines about a method or reference network, read from its class."""
    if references.is_reference(name):
        network = references.get(name)
        rule = f"reference: a 3-D network trained whole; patch {network.info.size_rule}"
        return [network.info.paper, rule, *_list_settings(network)]
    return _describe_method(methods.get(name))


def show_bridge(console: Console) -> None:
    """Print the types of the library peft, and which of them cannot be used."""
    from methods.bridge import registry as bridge
    from methods.bridge.method import make_record
    from methods.bridge.names import UNUSABLE

    console.print(f"\nTypes of the library peft; they need {escape(bridge.EXTRA)}\n")
    entries: list[Entry] = []
    for name in bridge.names():
        entries.append((name, _describe_method(make_record(bridge.find(name)))))
    for name, reason in UNUSABLE.items():
        entries.append((f"{bridge.PREFIX}{name}", [f"cannot be used: {reason}"]))
    print_entries(console, entries)


def _describe_method(kind: "type[Method]") -> list[str]:
    info = kind.info
    facts = [f"{info.family}, {info.year}" if info.year else str(info.family)]
    if info.roles:
        facts.append(f"needs {', '.join(info.roles)}")
    facts.append(STARTS[info.identity_at_init])
    facts.append("merges into the weights" if info.mergeable else "does not merge")
    return [info.paper, "; ".join(facts), *_list_settings(kind)]


def _list_settings(kind: "type[Contender]") -> list[str]:
    return [f"  {item.name}={item.default}  {item.metadata['help']}" for item in fields(kind)]
