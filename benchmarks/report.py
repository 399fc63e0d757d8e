"""How long `report` takes for a store of 1,000 runs, and whether it does without torch.

    python -m benchmarks.report [--runs 1000]

The store is made from a formula. The time is that of the whole command, imports included. Exit code
1 if it is above 20 s or torch is imported.
"""

import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

from benchmarks.made_store import fill_store, make_runs

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 20.0


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    n_runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fill_store(folder, make_runs(n_runs))
        took_s, imported = report(folder)
        n_files = sum(file.is_file() for file in (folder / "report").rglob("*"))
    print(f"{n_runs} runs: {n_files} files in {took_s:.1f} s (limit {LIMIT_S:.0f} s)")
    print("torch was imported" if "torch" in imported else "torch was not imported")
    return int(took_s > LIMIT_S or "torch" in imported)


def report(folder: Path) -> tuple[float, set[str]]:
    """Make the report of the store in ``folder``; return the seconds and the imported modules."""
    command = [sys.executable, "-X", "importtime", "-m", "bench"]
    command += ["report", "--figures", "--out", "report"]
    own = {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    environment = os.environ | own
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8"
    )
    took_s = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stderr)
    imports = [line for line in done.stderr.splitlines() if line.startswith("import time")]
    return took_s, {line.rpartition("|")[2].strip() for line in imports}


if __name__ == "__main__":
    sys.exit(main())
