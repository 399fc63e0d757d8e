"""What the commands share on the terminal: exit codes, messages, tables."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from rich.console import Console
from rich.table import Table

from bench.run.interruption import EXIT_INTERRUPTED as EXIT_TO_CONTINUE
from bench.run.interruption import is_asked
from datasets.processes import PROGRAM
from reports.formats.terminal import SafeConsole, build_terminal_table, escape, fit_columns
from reports.records.text import make_printable, mask_passwords
from reports.tables.table import Table as ReportTable

EXIT_DONE, EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130
NO_RESULT = f"the tracking store holds no result yet (make some with `{PROGRAM} run`)"
SYNTHETIC = {True: " (SYNTHETIC phantoms)", False: ""}


def prepare_output() -> None:
    """Make log, output and errors fit for any text in every locale."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(_mask_record)
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, TextIOWrapper):
            continue
        if stream.isatty() or stream.encoding.lower() in ("utf-8", "utf8"):
            stream.reconfigure(errors="backslashreplace")
        else:  # a file or a pipe: text files are UTF-8
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _mask_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = make_printable(mask_passwords(record.getMessage())), ()
    return True


def report_bad_input(sentence: str) -> int:
    """Print why a command cannot be carried out, and return the exit code for it."""
    _print_error(sentence)
    return EXIT_BAD_INPUT


def report_failure(sentence: str) -> int:
    """Print why a command has failed though its input was good, and return the exit code for it."""
    _print_error(sentence)
    return EXIT_FAILED


def report_interrupt(console: Console, what: str) -> int:
    """Print what an interrupt has left, and return the exit code for it."""
    console.print(f"interrupted{what}; the same command does the rest")
    return EXIT_TO_CONTINUE if is_asked() else EXIT_INTERRUPTED


def _print_error(sentence: str) -> None:
    console = SafeConsole(stderr=True)
    console.print(f"[red]error:[/] {escape(sentence)}", highlight=False, soft_wrap=True)


def print_warning(sentence: str, console: Console) -> None:
    """Print a sentence in yellow; an empty one is not printed."""
    if sentence:
        console.print(f"[yellow]{escape(sentence)}[/]", soft_wrap=True)


def add_columns(table: Table, words: Sequence[str] = (), numbers: Sequence[str] = ()) -> Table:
    """Add columns of words, which fold, and then columns of numbers, which keep to the right."""
    for heading in words:
        table.add_column(heading, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def print_remarks(remarks: Sequence[str]) -> None:
    """Print on standard error how layouts differ from the tables that were asked for."""
    errors = SafeConsole(stderr=True)
    for remark in remarks:
        errors.print(f"[yellow]{escape(remark)}[/]", highlight=False, soft_wrap=True)


def print_tables(tables: Sequence[ReportTable], console: Console) -> None:
    """Print the tables of a report one below the other."""
    for table in tables:
        console.print()
        console.print(build_terminal_table(fit_columns(table, console)))
