"""The documentation: its links lead somewhere, its commands parse, its options exist."""

import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer

from bench.cli.app import COMMANDS, OTHER_SPELLINGS, UsageError, load_command
from docs.generate_commands import API_PAGE, COMMAND, COMMANDS_PAGE, write_api, write_commands

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
]
PROGRAM = re.compile(r"(?:\$ )?(?:\.venv/bin/)?(?:python -m bench|medtuning-bench) (.*)")
FOREIGN = {  # options of other programs that the documents name
    *("--install-completion", "--show-completion", "--version", "--help"),  # typer's own
    *("--index-url", "--forbid-skips", "--verify_dataset_integrity"),
    *("--backend-store-uri", "--artifacts-destination"),  # of `mlflow server`
}


def read_commands(page: Path) -> list[list[str]]:
    """Return the words of each command of ours in code, without the program's name."""
    text = page.read_text()
    lines = []
    for block in re.findall(r"^ *```[a-z]*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        lines += block.replace("\\\n", " ").splitlines()
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.S | re.M))
    found = []
    for line in lines:
        match = PROGRAM.fullmatch(line.strip())
        if match:
            words = shlex.split(match[1].split(" && ")[0], comments=True)
            found.append(drop_ellipses(words))
    return [words for words in found if words and words[0] != "COMMAND"]


def drop_ellipses(words: list[str]) -> list[str]:
    """Return the words without dots that stand for more of them; those for a value stay."""
    kept = []
    for before, word in pairwise(["", *words]):
        if word not in ("...", "…") or before.startswith("--"):
            kept.append(word)
    return kept


def parse(words: list[str]) -> None:
    """Parse a command as the program does; raises what typer raises."""
    name, *rest = words
    if name.startswith("-"):
        assert name in FOREIGN
        return
    assert name in COMMANDS, f"no command '{name}'"
    command = load_command(name)
    if hasattr(command, "commands") and rest:
        command = command.commands[rest.pop(0)]
    command.make_context(name, rest)


COMMANDS_IN_PAGES = [(page, words) for page in PAGES for words in read_commands(page)]


@pytest.mark.parametrize(
    ("page", "words"),
    COMMANDS_IN_PAGES,
    ids=[f"{page.stem}: {' '.join(words)}" for page, words in COMMANDS_IN_PAGES],
)
def test_a_command_in_the_documents_parses(page, words):
    assert find_fault(words) == "", page


def find_fault(words: list[str]) -> str:
    """Return what typer says of a command; a part of one may lack what must be given."""
    try:
        parse(words)
    except typer.Exit:
        return ""
    except UsageError as error:
        return "" if type(error).__name__ == "MissingParameter" else error.message
    return ""


def test_commands_were_found():
    assert len(COMMANDS_IN_PAGES) > 80


def list_options() -> set[str]:
    """Return every long option of every command."""
    found = {*FOREIGN, *OTHER_SPELLINGS, *OTHER_SPELLINGS.values()}
    for name in COMMANDS:
        command = load_command(name)
        for each in (command, *getattr(command, "commands", {}).values()):
            for parameter in each.params:
                found.update(parameter.opts, parameter.secondary_opts)
    return found


OWN_PAGES = [page for page in PAGES if page.parent.name != "benchmarks"]  # these have scripts


@pytest.mark.parametrize("page", OWN_PAGES, ids=[page.name for page in OWN_PAGES])
def test_an_option_in_the_documents_exists(page):
    code = "\n".join(re.findall(r"`+([^`]+)`+", page.read_text()))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z_-]+", code))
    assert named - list_options() == set()


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_link_to_a_file_leads_somewhere(page):
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" not in link and not link.startswith(("#", "mailto:")):
            target = (page.parent / unquote(link.partition("#")[0])).resolve()
            assert target.exists(), f"{page.name}: {link}"


ROOMS = "bench|benchmarks|datasets|docs|medtuning_bench|methods|reports|tests"
SCRIPTS = [*sorted(ROOT.glob("benchmarks/*/*.py")), *sorted(ROOT.glob("docs/*.py"))]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_a_file_of_ours_that_is_named_exists(page):
    code = "\n".join(re.findall(r"`+([^`]+)`+", page.read_text()))
    for path in re.findall(rf"(?<![\w/.])(?:{ROOMS})/[\w/.]+\.\w+", code):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize(
    "file", [*PAGES, ROOT / "CHANGELOG.md", *SCRIPTS], ids=lambda file: str(file.relative_to(ROOT))
)
def test_a_script_of_ours_that_is_named_exists(file):
    for module in re.findall(r"\b(?:benchmarks|docs)\.[a-z_.]*[a-z_]", file.read_text()):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or path.is_dir(), module


def test_the_generated_pages_are_up_to_date():
    assert COMMANDS_PAGE.read_text() == write_commands(), f"run: {COMMAND}"
    assert API_PAGE.read_text() == write_api(), f"run: {COMMAND}"


def test_the_site_builds_without_a_warning_and_fetches_nothing(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        fetched = re.findall(
            r"<(?:script|img|iframe|link)[^>]+(?:src|href)=[\"']?(https?://[^\"' >]+)",
            page.read_text(),
        )
        assert fetched == [], page.name
