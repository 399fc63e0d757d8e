"""The notebook of the documentation runs from its first cell to its last."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    notebook = shutil.copy(ROOT / "docs" / "python.ipynb", tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "--nbmake", "-p", "no:cacheprovider"]
    quiet = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "IPYTHONDIR": str(tmp_path / "ipy")}
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), str(notebook)],
        cwd=tmp_path,
        env=os.environ | quiet,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert len(list(tmp_path.glob("results/runs/*/result.json"))) == 3
