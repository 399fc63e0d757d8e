"""Everything that `report` makes of a store of 1,000 runs, in one go: how long the command takes, and without torch.

    python -m benchmarks.report [--runs 1000]

The store is made from a formula (tests/reports/made_results.py); nothing in it was measured. The
time is that of `python -m bench report --figures --out report/` in a process of its own, imports
and everything. Exit code 1 if it is above 20 s or torch is imported.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.tracking.made_store import fill_fast
from tests.reports.made_results import make_many

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 20.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fill_fast(folder, make_many(arguments.runs))
        took_s, imported = report(folder)
        n_files = sum(file.is_file() for file in (folder / "report").rglob("*"))
    print(f"{arguments.runs} runs: {n_files} files in {took_s:.1f} s (limit {LIMIT_S:.0f} s)")
    print(f"torch was {'' if 'torch' in imported else 'not '}imported")
    return 1 if took_s > LIMIT_S or "torch" in imported else 0


def report(folder: Path) -> tuple[float, set[str]]:
    """Make the report of the store in ``folder``; return the seconds, and what any of its processes imported."""
    command = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "bench",
        "report",
        "--figures",
        "--out",
        "report",
    ]
    own = {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=os.environ | own, capture_output=True, text=True)
    took_s = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stderr)
    lines = done.stderr.splitlines()
    return took_s, {
        line.rpartition("|")[2].strip() for line in lines if line.startswith("import time")
    }


if __name__ == "__main__":
    sys.exit(main())
