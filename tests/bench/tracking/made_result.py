"""A result with two regions, one of them undefined in a case."""

import math

from reports.records.cost import Cost
from reports.records.run import CaseScore, EpochRecord, RunResult, Status

CASES = (
    CaseScore("p1", "WT", 0.8, 2.0, 100, 90),
    CaseScore("p1", "ET", 0.5, 4.0, 10, 9),
    CaseScore("p2", "WT", 0.6, 6.0, 100, 80),
    CaseScore("p2", "ET", 0.0, math.nan, 0, 5),
)


DONE = RunResult(
    run_id="brats-lora-rank=8-f0-s0-abc",
    status=Status.DONE,
    reason="",
    method="lora",
    settings={"rank": 8, "alpha": 16.0},
    label="lora r=8",
    dataset="brats",
    backbone="tiny_vit",
    weights="none",
    fold=0,
    seed=0,
    protocol_id="abc123",
    protocol={
        "data": {"patch": [16, 64, 64]},
        "train": {"lr": 1e-3, "optimizer": "adamw"},
        "version": 1,
    },
    synthetic=True,
    regions=("WT", "ET"),
    cases=CASES,
    curve=tuple(
        EpochRecord(epoch, 1 / (epoch + 1), 1e-3, 0.1 * epoch if epoch % 2 else None)
        for epoch in range(4)
    ),
    best_epoch=3,
    cost=Cost(1000, 20, 300, 0.02, 12.5, 2.5, 512.0),
    provenance={"git_commit": "0123abc", "started_at": "2025-06-01T12:00:00+00:00", "wall_s": 15.0},
)
