"""The record of a run: valid JSON with a schema, and one sentence where it cannot be read."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from bench.run.provenance import describe_end, describe_start
from bench.specs.protocol import Protocol
from bench.specs.run import MethodSpec, Place, RunSpec
from reports.records.cost import Compute, Cost, Memory, Merged, Timing
from reports.records.plain import INLINE
from reports.records.release import ReleaseRecord
from reports.records.run import (
    RESULT_FILE,
    SCHEMA_VERSION,
    CaseScore,
    EpochRecord,
    PostProcessing,
    RunResult,
    Status,
    describe_schema,
    read_result,
)

DOCS = Path(__file__).resolve().parents[3] / "docs"
TIMING = Timing(0.5, 0.1, 5)
ROW = CaseScore("case_1", "WT", dice=0.5, hd95_mm=math.nan, n_reference_vox=9, n_predicted_vox=8)
FULL = RunResult(
    run_id="r", status=Status.DONE, reason="", method="lora", label="lora",
    settings={"rank": 4, "targets": ["q", "v"]}, dataset="brats2020", backbone="tiny_vit",
    weights="none", fold=0, seed=1, protocol_id="p",
    protocol={"train": {"lr": 1e-3}}, synthetic=True, regions=("WT",), cases=(ROW,), best_epoch=1,
    postprocessing=PostProcessing("ET", 50, ((0, 0.5), (50, math.nan)), (ROW,)),
    curve=(EpochRecord(0, 1.5, 1e-3, None), EpochRecord(1, 1.0, 5e-4, 0.25)),
    release=ReleaseRecord("BraTS 2020", "brats", {"brats2019": "contains"}),
    cost=Cost(
        10, 2, 3, 0.2, 1.0, 2.0, 300.0, compute=Compute(1.0, 2.0, ("aten::foo x 2",)),
        memory=Memory(1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        train_step=TIMING, inference=TIMING, merged=Merged(TIMING, 1e-6), energy_j=3.0,
        delta_mib=0.1,
    ),
    reload_max_abs_diff=0.0, provenance={"packages": {"torch": "2"}},
)  # fmt: skip


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def same(left: Any, right: Any) -> bool:
    """Whether two results are equal, nan being equal to nan."""
    return repr(left) == repr(right)


def test_every_part_comes_back_as_it_was(tmp_path):
    FULL.write(tmp_path)
    assert same(read_result(tmp_path), FULL)
    assert math.isnan(read_result(tmp_path).cases[0].hd95_mm)
    assert read_result(tmp_path).status is Status.DONE
    assert [file.name for file in tmp_path.iterdir()] == [RESULT_FILE]


def test_the_file_is_strictly_valid_json(tmp_path):
    raw = json.loads(FULL.write(tmp_path).read_text(), parse_constant=refuse)
    assert raw["cases"][0]["hd95_mm"] is None
    assert raw["cases"][0]["dice"] == 0.5


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_number_is_refused_by_name(value, tmp_path):
    result = replace(FULL, cost=replace(FULL.cost, train_step=replace(TIMING, iqr_s=value)))
    with pytest.raises(
        ValueError,
        match=rf"^result\.cost\.train_step\.iqr_s: must be a finite number or nan, got {value}",
    ):
        result.write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_no_plain_data_is_refused_by_name():
    with pytest.raises(ValueError, match=r"^result\.settings\.rank: must be plain data, got int64"):
        replace(FULL, settings={"rank": np.int64(3)}).to_json()


def test_nan_is_refused_where_the_schema_wants_a_number():
    with pytest.raises(ValueError, match=r"^result: cost\.fit_s: .*number, got None"):
        replace(FULL, cost=replace(FULL.cost, fit_s=math.nan)).to_json()


def test_another_schema_version_says_what_to_do(tmp_path):
    file = FULL.write(tmp_path)
    file.write_text(
        file.read_text().replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 1')
    )
    rule = f"{file}: schema version must be {SCHEMA_VERSION}, got 1 (repeat the run with --force"
    with pytest.raises(ValueError, match=f"^{re.escape(rule)}"):
        read_result(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "must be valid JSON, got a damaged file"),
        (lambda text: "", "must be valid JSON, got a damaged file: .*--force"),
        (lambda text: "[]", r"must be a JSON object, got \[\]"),
        (lambda text: "{}", "schema version must be 2, got None"),
        (lambda text: text.replace('"fold": 0', '"fold": 1e999'), "fold: .*, got inf"),
        (
            lambda text: text.replace('"params_tuned_frac": ', '"params_tuned_frac": 1e999, "x": '),
            "cost.params_tuned_frac: .*finite",
        ),
        (
            lambda text: text.replace('"fold": 0', '"fold": "first"'),
            "fold: .*integer.*, got 'first'",
        ),
        (
            lambda text: text.replace('"fold": 0', '"fold": 0, "fould": 0'),
            "fould: unexpected keyword argument, got 0",
        ),
        (
            lambda text: text.replace('"done"', '"finished"'),
            "status: input should be 'done', .*, got 'finished'",
        ),
    ],
    ids=[
        "truncated",
        "empty",
        "list",
        "object",
        "integer",
        "infinite",
        "type",
        "unknown",
        "status",
    ],
)
def test_a_damaged_file_is_one_sentence_with_its_name(damage, message, tmp_path):
    file = FULL.write(tmp_path)
    file.write_text(damage(file.read_text()))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(file))}: {message}"):
        read_result(tmp_path)


def test_a_folder_without_result_has_none(tmp_path):
    assert read_result(tmp_path) is None


def test_the_documented_schema_is_that_of_the_code():
    written = (DOCS / "result.schema.json").read_text()
    hint = "python -m bench schema > docs/result.schema.json"
    assert json.loads(written, parse_constant=refuse) == describe_schema(), hint


def test_results_obey_the_schema_and_others_do_not():
    schema = json.loads((DOCS / "result.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    record = json.loads(FULL.to_json())
    jsonschema.validate(record, schema)
    for key, value in {
        "status": "finished",
        "fold": "first",
        "schema_version": 1,
        "cases": [{"dice": 1}],
    }.items():
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(record | {key: value}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            {key: value for key, value in record.items() if key != "split_hash"}, schema
        )


def names_of(value: Any, prefix: str = "") -> set[str]:
    """Return the dotted names of all fields, those of list items under the list's name."""
    found = set()
    for item in fields(value):
        if item.metadata == INLINE:
            continue
        inner = getattr(value, item.name)
        inner = inner[0] if isinstance(inner, tuple) and inner and is_dataclass(inner[0]) else inner
        found |= (
            names_of(inner, f"{prefix}{item.name}.")
            if is_dataclass(inner)
            else {f"{prefix}{item.name}"}
        )
    return found


def test_every_field_is_explained():
    text = (DOCS / "results.md").read_text().partition("## The fields of result.json")[2]
    explained = set(re.findall(r"^\| `([\w.]+)`", text, re.MULTILINE))
    spec = RunSpec(MethodSpec("lora"), "brats", "", 0, 0, Protocol(), Path())
    provenance = describe_start(spec, Place(Path(), Path(), "cpu")) | describe_end(0.0)
    machine = {f"provenance.{key}" for key in provenance}
    expected = (
        names_of(FULL)
        | machine
        | {
            f"provenance.{key}"
            for key in ("seeds", "spec", "weights", "ct_window", "threads", "precision")
        }
    )
    parts = (
        "timing.",
        "postprocessing.cases.",
        "cost.train_step.",
        "cost.inference.",
        "cost.merged.inference.",
    )
    expected = {name for name in expected if not name.startswith(parts)}
    assert expected - explained == set()
    objects = {"cases", "curve", "postprocessing", "postprocessing.cases", "release"}
    durations = {f"cost.{part}" for part in ("train_step", "inference", "merged.inference")}
    assert (
        explained - expected - objects - durations == set()
    )  # nor is anything explained that is not there
