"""The settings of inner validation, and the records of runs from before there were any."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.specs.presets import PRESETS
from bench.specs.protocol import ADDED, EvalSpec, Protocol, SpecError, TrainSpec, override
from bench.specs.run import MethodSpec, RunSpec
from reports.analysis.comparison import compare_methods
from tests.bench.specs.test_comparability import make_result

SET = {"val_cases": 4, "val_overlap": "0.25", "val_flips": False}


def spec_of(protocol: Protocol) -> RunSpec:
    return RunSpec(MethodSpec("linear"), "brats", "abc", 0, 0, protocol, Path())


def record_of(protocol: Protocol) -> dict:
    return json.loads(json.dumps(spec_of(protocol).protocol_record()))


@pytest.mark.parametrize("name", ADDED)
def test_a_field_is_on_record_only_if_it_was_set(name):
    assert set(SET) == set(ADDED)
    plain = Protocol()
    changed = replace(plain, train=replace(plain.train, **{name: SET[name]}))
    assert not record_of(plain)["train"].keys() & set(ADDED)
    assert record_of(changed)["train"][name] == SET[name]
    assert spec_of(changed).protocol_id != spec_of(plain).protocol_id
    old, new = make_result("linear", record_of(plain)), make_result("full", record_of(changed))
    with pytest.raises(ValueError, match=rf"differ in train\.{name} "):
        compare_methods([old, new])


def test_the_demo_has_the_hash_that_it_had_before_these_fields():
    assert spec_of(PRESETS["demo"].protocol).protocol_id == "e3a5ff39"


def test_by_default_inner_validation_is_the_evaluation():
    protocol = Protocol(eval=EvalSpec(overlap=0.5, flips=True))
    assert protocol.selection == protocol.eval


def test_inner_validation_has_its_own_overlap_and_may_leave_out_mirrors():
    protocol = Protocol(train=TrainSpec(**SET), eval=EvalSpec(overlap=0.5, flips=True))
    assert protocol.selection == replace(protocol.eval, overlap=0.25, flips=False)
    unmirrored = replace(protocol, eval=EvalSpec(flips=False), train=TrainSpec(val_flips=True))
    assert not unmirrored.selection.flips


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_presets_for_real_data_look_at_few_cases_cheaply(preset):
    protocol = PRESETS[preset].protocol
    assert (protocol.selection.overlap, protocol.selection.flips) == (0.25, False)
    assert 0 < protocol.train.val_cases <= 16
    assert PRESETS["demo"].protocol.selection == PRESETS["demo"].protocol.eval
    assert PRESETS["demo"].protocol.train.val_cases == 0


@pytest.mark.parametrize(
    ("assignment", "rule"),
    [
        ("train.val_cases=-1", r"train\.val_cases: must be >= 0, got -1"),
        ("train.val_overlap=1", r"train\.val_overlap: must be eval or in \[0, 1\), got 1"),
        ("train.val_overlap=evla", r"train\.val_overlap: must be eval or in \[0, 1\), got evla"),
        ("train.val_flips=maybe", r"train\.val_flips must be true or false, got 'maybe'"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(assignment, rule):
    with pytest.raises(SpecError, match=rule):
        override(Protocol(), assignment)
