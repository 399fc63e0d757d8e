"""What a run's process prints is in a file of its own, also after a crash."""

import subprocess
import sys

import pytest

from bench.grid.children import start_child
from bench.run.watch.log_file import LOG_FILE

PRINTING = """
import ctypes, logging, sys, warnings
from pathlib import Path
from bench.run.watch.log_file import output_in
with output_in(Path(sys.argv[1])):
    print("printed")
    warnings.warn("warned", stacklevel=1)
    logging.getLogger("bench.x").info("told to http://me:secret@host \\x1b[2J")
    logging.getLogger("other").info("not told")
    ctypes.CDLL(None).puts(b"from C")
    ctypes.CDLL(None).fflush(None)
    if sys.argv[2] == "crash":
        ctypes.string_at(0)
print("after")
"""


def run(folder, *arguments):
    command = [sys.executable, "-c", PRINTING, str(folder / LOG_FILE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_everything_that_a_process_prints_is_in_the_log(tmp_path):
    done = run(tmp_path, "end")
    assert (done.returncode, done.stdout, done.stderr) == (0, "after\n", "")
    text = (tmp_path / LOG_FILE).read_text()
    for part in ("printed\n", "UserWarning: warned", "http://me:***@host \\x1b[2J\n", "from C\n"):
        assert part in text
    assert "not told" not in text
    assert text.startswith("--- ")


def test_a_crash_leaves_its_traceback_in_the_log(tmp_path):
    done = run(tmp_path, "crash")
    assert done.returncode < 0
    text = (tmp_path / LOG_FILE).read_text()
    assert "printed\n" in text
    assert "Segmentation fault" in text


def test_the_next_attempt_goes_on_in_the_same_log(tmp_path):
    for _ in range(2):
        run(tmp_path, "end")
    assert (tmp_path / LOG_FILE).read_text().count("--- ") == 2


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / LOG_FILE).mkdir()
    done = run(tmp_path, "end")
    assert done.returncode == 0
    assert "printed" in done.stdout


@pytest.mark.slow
def test_a_child_prints_into_its_log(tmp_path):
    file = tmp_path / "run" / LOG_FILE
    child = start_child("builtins:print", "told", name="printing", log_file=file)
    assert child.describe_end() == "ended with exit code 0"
    assert "told <function" in file.read_text()
