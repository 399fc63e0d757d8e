"""Commands of the program in this process: a new one takes seconds to import all libraries.

Whether a new process does the same is what tests of killed, interrupted and first commands look at.
"""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from bench.cli.app import main


def carry_out(folder: Path, *arguments: str) -> CompletedProcess[str]:
    """Carry out a command in a folder, with the folder's own store."""
    printed, errors = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "200")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with redirect_stdout(printed), redirect_stderr(errors):
            code = main(arguments)
    return CompletedProcess(arguments, code, printed.getvalue(), errors.getvalue())
