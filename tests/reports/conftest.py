"""A small set of results, made by hand: five methods on one fold, of which two did not end well."""

import math
from dataclasses import replace

import pytest

from reports.records.cost import Cost
from reports.records.run import CaseScore, RunResult, Status

LORA = RunResult(
    run_id="brats-lora",
    status=Status.DONE,
    reason="",
    method="lora",
    settings={"rank": 8},
    label="lora[rank=8]",
    dataset="brats",
    backbone="tiny_vit",
    weights="none",
    fold=0,
    seed=0,
    protocol_id="abc123",
    protocol={"train": {"lr": 1e-3, "epochs": 30}, "dataset": {"fingerprint": "f00"}},
    synthetic=True,
    regions=("WT", "ET"),
    cases=(
        CaseScore("p1", "WT", 0.80, 2.0, 100, 90),
        CaseScore("p1", "ET", 0.50, 4.0, 10, 9),
        CaseScore("p2", "WT", 0.60, 6.0, 100, 80),
        CaseScore("p2", "ET", 0.40, math.nan, 0, 5),
    ),
    cost=Cost(1_300_000, 24_576, 300_000, 0.0201, 61.0, 2.5, 512.0),
)


def scaled(result: RunResult, factor: float) -> RunResult:
    """Return the result with every Dice multiplied by ``factor``."""
    return replace(
        result, cases=tuple(replace(row, dice=row.dice * factor) for row in result.cases)
    )


@pytest.fixture
def results() -> list[RunResult]:
    assert LORA.cost is not None
    full_cost = replace(LORA.cost, params_tuned=1_220_000, params_tuned_frac=1.0, fit_s=90.25)
    no_cost = replace(LORA.cost, params_tuned=0, params_tuned_frac=0.0, fit_s=40.0)
    nothing = {"cases": (), "cost": None, "regions": ()}
    return [
        replace(scaled(LORA, 1.1), method="full", label="full", cost=full_cost),
        LORA,
        replace(scaled(LORA, 0.9), method="linear", label="linear", cost=no_cost),
        replace(
            LORA,
            method="bad_one",
            label="bad_one",
            status=Status.FAILED,
            reason="RuntimeError: 100% <memory>",
            **nothing,
        ),
        replace(
            LORA,
            method="vpt_deep",
            label="vpt_deep",
            status=Status.SKIPPED,
            reason="needs role 'prompt'",
            **nothing,
        ),
    ]
