"""A whole run with a type of peft: its record, its delta, and the network that comes back."""

from __future__ import annotations

import json

import pytest

from bench.run.restore import load_run
from reports.records.run import Status


@pytest.mark.slow
@pytest.mark.parametrize("name", ["peft:dora", "peft:adalora"])
def test_a_run_is_recorded_and_comes_back(name, make_run, carry_out, tmp_path):
    spec = make_run(name)
    result = carry_out(spec, tmp_path)
    assert (result.status, result.reason) == (Status.DONE, "")
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["method"] == name
    assert record["provenance"]["packages"]["peft"]
    loaded, model = load_run(tmp_path, "cpu")
    assert loaded.method == spec.method
    assert sum(each.numel() for each in model.tuned_parameters().values()) > 0
    assert not [*tmp_path.rglob("*.pt"), *tmp_path.rglob("*.pkl")]
