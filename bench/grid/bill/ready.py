"""A grid of which a bill can be made."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.grid.plan import Plan
from bench.grid.slots import Slots
from bench.specs.run import RunSpec
from reports.records.run import RunResult


@dataclass(frozen=True)
class Ready:
    """What a bill is made from.

    Attributes:
        finished: runs that are done, with their results.
        slots: where probes are carried out.
    """

    plan: Plan
    finished: Sequence[tuple[RunSpec, RunResult]]
    to_do: Sequence[RunSpec]
    out: Path
    slots: Slots
