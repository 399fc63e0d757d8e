"""Write the phase times of the runs below ``--out`` for `test_forecast`, by hand.

python -m tests.bench.grid.record_phases NAME=OUT NAME=OUT > tests/bench/grid/recorded_phases.json
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from bench.specs.run import RUNS
from reports.records.run import read_result


def read_runs(out: Path) -> list[dict[str, object]]:
    """Return the phase times of the runs that are done, in the order in which they were begun."""
    runs = []
    for folder in sorted((out / RUNS).iterdir()):
        result = read_result(folder)
        if result is None or result.cost is None or not result.cost.phases:
            continue
        phases = [asdict(each) for each in result.cost.phases]
        took_s = sum(float(each["seconds"]) for each in phases)
        validations = sum(epoch.val_dice is not None for epoch in result.curve)
        runs.append(
            {
                "method": result.method,
                "seed": result.seed,
                "validations": validations,
                "extra_s": max(0.0, float(result.provenance.get("wall_s", took_s)) - took_s),
                "phases": phases,
            }
        )
    return sorted(runs, key=lambda run: (run["seed"], run["method"]))


def main() -> None:
    """Print the runs of each folder that is named."""
    grids = {}
    for argument in sys.argv[1:]:
        name, _, out = argument.partition("=")
        grids[name] = read_runs(Path(out))
    sys.stdout.write(json.dumps(grids, indent=1) + "\n")


if __name__ == "__main__":
    main()
