"""Runs of a command as `run` leaves them in its folder, made from numbers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.specs.protocol import Protocol
from bench.specs.run import MethodSpec, RunSpec
from bench.tracking.groups import Group, begin_group
from bench.tracking.store import Store
from reports.records.cost import Cost
from reports.records.run import CaseScore, EpochRecord, RunResult, Status

COMMAND = "python -m bench run --methods linear,lora"


NewStore = Callable[[Path], str]


def make_result(method: str, dataset: str = "brats", **changes: Any) -> RunResult:
    spec = RunSpec(MethodSpec(method), dataset, "f00", 0, 0, Protocol(), Path("/data"))
    score = 0.5 + len(method) / 100
    result = RunResult(
        run_id=spec.run_id, status=Status.DONE, reason="", method=method, settings={},
        label=method, dataset=dataset, backbone="tiny_vit", weights="none", fold=0, seed=0,
        protocol_id=spec.protocol_id, protocol=spec.protocol_record(), synthetic=True,
        regions=("WT",), cases=(
            CaseScore("p1", "WT", score, 2.0, 10, 9), CaseScore("p2", "WT", score / 2, 4.0, 10, 9),
        ),
        curve=(EpochRecord(0, 0.5, 1e-3, 0.6), EpochRecord(1, 0.4, 1e-3, 0.55)), best_epoch=0,
        cost=Cost(1000, 20, 300, 0.02, 12.5, 2.5, 512.0),
        provenance={"started_at": f"2025-06-01T12:00:{len(method):02}+00:00"},
    )  # fmt: skip
    return replace(result, **changes)


def write_runs(out: Path, *results: RunResult, command: str = COMMAND) -> Group:
    """Leave behind what `run` leaves: the record of the command, and results that name it."""
    specs = [
        RunSpec(MethodSpec(r.method), r.dataset, "f00", r.fold, r.seed, Protocol(), Path("/data"))
        for r in results
    ]
    group = begin_group(specs, command, out)
    for result in results:
        replace(result, group=group.id).write(out / "runs" / result.run_id)
    return group


def runs_of(store: Store, dataset: str = "brats") -> dict[str, Any]:
    experiment = store.client.get_experiment_by_name(dataset)
    return {run.info.run_name: run for run in store.client.search_runs([experiment.experiment_id])}
