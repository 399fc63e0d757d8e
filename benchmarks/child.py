"""What is measured in a process of its own: a function, for its memory, or the program."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")


def run_in_child(function: Callable[..., T], *args: object) -> T:
    """Return ``function(*args)``, computed in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def run_program(folder: Path, arguments: Sequence[str], *flags: str) -> str:
    """Run the program in ``folder``, with a store there; return what it writes to standard error.

    ``flags`` are those of Python. Its bytecode is kept, as it is by default. If the program fails,
    this one ends too.
    """
    own = {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    environment = os.environ | own
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, *flags, "-m", "bench", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr[-2000:])
    return done.stderr
