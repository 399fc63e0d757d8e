"""How long `run` takes from the command to its first training step, on prepared data.

    python -m benchmarks.runs.startup [--repeats 3]

The command is a real one, on phantoms that an earlier command has prepared. The time of the first
step is from the run's own record: when it began, and what it took to its first batch. Also: which
imports of commands that compute nothing take longest. Exit code 1 if the goal, which is for two
idle cores, is missed, or if one of these commands imports a library that only computing needs.
"""

import json
import resource
import shutil
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

from benchmarks.child import run_program

GOAL_S = 6.0
RUN = ["run", "--methods", "linear", "--datasets", "brats", "--epochs", "1", "--out", "out"]
WITHOUT = (["--help"], ["run", "--help"], ["list", "methods"], ["report", "--help"])
HEAVY = {"torch", "monai", "timm", "lightning_fabric", "mlflow", "optuna", "pandas", "matplotlib"}
LONGEST = 5  # imports that are printed


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    n_repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run_program(folder, RUN)  # writes and prepares the phantoms
        taken = [time_first_step(folder) for _ in range(n_repeats)]
    for wall_s, cpu_s in taken:
        print(f"first step after {wall_s:.1f} s; CPU of the command's own process {cpu_s:.1f} s")
    fastest_s = min(wall_s for wall_s, _ in taken)
    print(f"fastest: {fastest_s:.1f} s (goal {GOAL_S:.0f} s)")
    found = [print_imports(arguments) for arguments in WITHOUT]
    return int(fastest_s > GOAL_S or any(found))


def time_first_step(folder: Path) -> tuple[float, float]:
    """Return the seconds from the command to the end of the first step, and its CPU seconds.

    Those are of the command's own process: its children are not of this one.
    """
    shutil.rmtree(folder / "out" / "runs")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.time()
    run_program(folder, RUN)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    (file,) = folder.glob("out/runs/*/result.json")
    record = json.loads(file.read_text(encoding="utf-8"))
    phases = {phase["phase"]: phase for phase in record["cost"]["phases"]}
    began = file.stat().st_mtime - record["provenance"]["wall_s"]  # the record is written last
    first_s = phases["prepare"]["seconds"] + phases["fit"]["first_s"]
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return began - started + first_s, cpu_s


def print_imports(arguments: list[str]) -> set[str]:
    """Print the imports that take longest; return those that only computing needs."""
    with tempfile.TemporaryDirectory() as scratch:
        lines = run_program(Path(scratch), arguments, "-X", "importtime").splitlines()
    took_ms = {}
    for line in lines:
        if line.startswith("import time:") and "cumulative" not in line:
            _, cumulative, name = line.removeprefix("import time:").split("|")
            took_ms[name.strip()] = int(cumulative) / 1000
    longest = sorted(took_ms, key=lambda name: -took_ms[name])[:LONGEST]
    words = ", ".join(f"{name} {took_ms[name]:.0f} ms" for name in longest)
    print(f"{' '.join(arguments)}: {len(took_ms)} imports, longest {words}")
    heavy = HEAVY & set(took_ms)
    if heavy:
        print(f"  imports {', '.join(sorted(heavy))}")
    return heavy


if __name__ == "__main__":
    sys.exit(main())
