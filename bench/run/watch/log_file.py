"""What the process of a run prints, in a file of the run's folder."""

import faulthandler
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from datasets.files import make_folder
from reports.records.text import make_printable, mask_passwords

LOG_FILE = "run.log"
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
OUR_LOGGERS = ("bench", "datasets", "methods")

log = logging.getLogger(__name__)


class PrintableFormatter(logging.Formatter):
    """Writes records without control characters and without the passwords of addresses."""

    def format(self, record: logging.LogRecord) -> str:
        return make_printable(mask_passwords(super().format(record)))


@contextmanager
def output_in(file: Path) -> Iterator[None]:
    """Append all that this process prints to a file: output, errors, warnings, logs, a crash.

    The file descriptors are replaced, so that libraries and dying interpreters write there, too.
    Where the file cannot be written, the output goes where it went before.
    """
    try:
        make_folder(file.parent)
        stream = file.open("a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        log.warning("no log: %s", error)
        yield
        return
    with stream, _descriptors_at(stream.fileno()), _logging_to_errors():
        began = time.strftime("%Y-%m-%d %H:%M:%S")
        where = f"process {os.getpid()} on {socket.gethostname()}"
        print(f"--- {began}, {where}", flush=True)  # noqa: T201
        yield


@contextmanager
def _descriptors_at(target: int) -> Iterator[None]:
    kept = {number: os.dup(number) for number in (1, 2)}
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    for number in kept:
        os.dup2(target, number)
    was_enabled = faulthandler.is_enabled()
    faulthandler.enable(file=2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if not was_enabled:
            faulthandler.disable()
        for number, before in kept.items():
            os.dup2(before, number)
            os.close(before)


@contextmanager
def _logging_to_errors() -> Iterator[None]:
    """Write what is logged, and Python's warnings, to the errors of the process."""
    handler = logging.StreamHandler(open(2, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
    handler.setFormatter(PrintableFormatter(FORMAT))
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers[:] = [handler]
    levels = {name: logging.getLogger(name).level for name in OUR_LOGGERS}
    for name in levels:
        logging.getLogger(name).setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        root.handlers[:] = before
