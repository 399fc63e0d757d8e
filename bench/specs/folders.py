"""Names of the folders below ``--out``."""

from __future__ import annotations

from pathlib import Path

from bench.specs.run import RunSpec

RUNS, COMMANDS = "runs", "commands"  # in the folder that ``--out`` names


def run_folder(out: Path, spec: RunSpec) -> Path:
    """Return the folder of a run."""
    return out / RUNS / spec.run_id
