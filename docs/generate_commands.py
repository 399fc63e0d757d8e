"""Write docs/commands.md and docs/api.md (see `COMMAND`) from the program and its docstrings."""

import inspect
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import medtuning_bench as mb
from bench.cli.app import COMMANDS, load_command
from docs.articles import table

COMMAND = "python -m docs.generate_commands"
COMMANDS_PAGE = Path(__file__).with_name("commands.md")
API_PAGE = Path(__file__).with_name("api.md")
HEAD = f"""# Commands

<!-- Written by `{COMMAND}`. -->

`medtuning-bench COMMAND --help` prints the same; in a copy of the repository the program is
`python -m bench`. `medtuning-bench --version` prints the version, `--install-completion` lets the
shell complete commands, options and values. Exit codes: 0 done, 1 something failed, 2 bad input,
75 ended by a signal, 130 interrupted.
"""
API_HEAD = f"""# Python

<!-- Written by `{COMMAND}`. -->

`import medtuning_bench as mb`; [how to work with it](python.md). Other names may change.
"""


def write_commands() -> str:
    """Return the reference of the command line as Markdown."""
    parts = [HEAD]
    for name in COMMANDS:
        command = load_command(name)
        parts += _write_command(name, command)
        for own, inner in getattr(command, "commands", {}).items():
            parts += _write_command(f"{name} {own}", inner)
    return "\n".join(parts)


def _write_command(name: str, command: Any) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"{_clean(inspect.cleandoc(command.help or ''))}\n"
    shown = [each for each in command.params if not getattr(each, "hidden", False)]
    shown = [each for each in shown if each.name != "help"]
    shown.sort(key=_panel_of)
    for panel, group in groupby(shown, key=_panel_of):
        rows = [[_name(each), _help(each), _default(each)] for each in group]
        if panel:
            yield f"### {panel} of {name}\n"
        yield f"{table(['option', 'what it is', 'default'], rows)}\n"


def _panel_of(parameter: Any) -> str:
    return getattr(parameter, "rich_help_panel", None) or ""


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    return f"`{parameter.opts[0]}`"


def _help(parameter: Any) -> str:
    words = _clean(" ".join((parameter.help or "").split())).replace("|", "or")
    kind = parameter.type_descriptor.annotation
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    return f"{words} One of {', '.join(map(str, choices))}." if choices else words


def _default(parameter: Any) -> str:
    if parameter.required:
        return "must be given"
    value = parameter.default
    if value is None or value is False or value == "":
        return ""
    return f"`{value}`"


def _clean(text: str) -> str:
    """Return a help text without the markup of terminals."""
    return re.sub(r"\[/?(bold)?\]", "`", text).replace("\\[", "[")


def write_api() -> str:
    """Return the reference of the Python names as Markdown."""
    parts = [API_HEAD]
    for name in ("run", "load", "register", "Results", "Segmenter"):
        thing = getattr(mb, name)
        parts += _write_thing(f"mb.{name}", thing)
        if inspect.isclass(thing):
            for own, member in vars(thing).items():
                if not own.startswith("_"):
                    parts += _write_member(f"{name}.{own}", member)
    parts += _write_options()
    return "\n".join(parts)


def _write_thing(name: str, thing: Any) -> Iterator[str]:
    yield f"## {name}\n"
    signature = inspect.signature(thing)
    yield f"```python\n{name}{_shorten(str(signature))}\n```\n"
    yield f"{_block(inspect.getdoc(thing) or '')}\n"
    if inspect.isclass(thing) and thing.__init__.__doc__ and name == "mb.Segmenter":
        yield f"{_block(inspect.getdoc(thing.__init__) or '')}\n"


def _write_member(name: str, member: Any) -> Iterator[str]:
    function = getattr(member, "func", member)
    if not inspect.isfunction(function):
        return
    yield f"### {name}\n"
    if function is member:
        signature = _shorten(str(inspect.signature(function)).replace("(self, ", "(", 1))
        yield f"```python\n{name}{signature.replace('(self)', '()')}\n```\n"
    yield f"{_block(inspect.getdoc(function) or '')}\n"


def _write_options() -> Iterator[str]:
    from medtuning_bench.running import Options

    yield "## Options of mb.run\n"
    rows = []
    for line in inspect.getsource(Options).splitlines():
        found = re.fullmatch(r"    (\w+): ([^#]+?)(?:  # (.+))?", line)
        if found:
            kind = found[2].replace("|", "or")
            rows.append([f"`{found[1]}`", f"`{kind}`", found[3] or "as the option of the command"])
    yield f"{table(['name', 'type', 'what it is'], rows)}\n"


def _shorten(signature: str) -> str:
    """Return a signature without the quotes of annotations and the places of names."""
    plain = re.sub(r"(: |-> )'([^']*)'", r"\1\2", signature)
    return re.sub(r"\b[A-Za-z_][\w.]*\.(\w+)", r"\1", plain)


def _block(docstring: str) -> str:
    """Return a docstring as Markdown: its arguments become a list."""
    lines = []
    inside = False
    for line in docstring.replace("``", "`").splitlines():
        if line in ("Args:", "Attributes:"):
            inside = True
            lines.append(f"**{line}**\n")
        elif inside and re.match(r"    \w+: ", line):
            word, _, rest = line.strip().partition(": ")
            lines.append(f"- `{word}`: {rest}")
        else:
            inside = inside and line.startswith("    ")
            lines.append(line if not inside else f"  {line.strip()}")
    return "\n".join(lines)


if __name__ == "__main__":
    COMMANDS_PAGE.write_text(write_commands(), encoding="utf-8")
    API_PAGE.write_text(write_api(), encoding="utf-8")
