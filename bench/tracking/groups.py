"""The runs that one command asked for: its record on disk, from which MLflow gets a parent run for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.specs.folders import COMMANDS
from bench.specs.run import RunSpec, digest


@dataclass(frozen=True)
class Group:
    """A `run` command. The same runs make the same group, however often, and with whatever ``--jobs``."""

    id: str
    command: str  # as it was typed, last time
    started_at: str  # ISO 8601, the first time
    runs: Mapping[str, tuple[str, ...]]  # data set -> ids of its runs, in the order of the tables

    def write(self, out: Path) -> None:
        """Write the record, as a whole or not at all."""
        target = out / COMMANDS / f"{self.id}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), indent=1))
        partial.replace(target)


def begin_group(specs: Sequence[RunSpec], command: str, out: Path) -> Group:
    """Return the group of these runs with its record written; when it was begun is kept from the first time."""
    runs: dict[str, tuple[str, ...]] = {}
    for spec in specs:
        runs[spec.dataset] = (*runs.get(spec.dataset, ()), spec.run_id)
    group_id = f"run-{digest(sorted(spec.run_id for spec in specs))}"
    earlier = read_group(out, group_id)
    started_at = earlier.started_at if earlier else datetime.now(UTC).isoformat(timespec="seconds")
    group = Group(group_id, command, started_at, runs)
    group.write(out)
    return group


def read_group(out: Path, group_id: str) -> Group | None:
    """Return the record of a command, or None if there is none."""
    file = out / COMMANDS / f"{group_id}.json"
    if not file.is_file():
        return None
    raw = json.loads(file.read_text())
    return Group(
        **raw | {"runs": {dataset: tuple(run_ids) for dataset, run_ids in raw["runs"].items()}}
    )
