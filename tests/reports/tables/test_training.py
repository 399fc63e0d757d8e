"""Sentences on training and inference, made from the protocols of runs."""

import json
from dataclasses import replace
from pathlib import Path

from bench.specs.presets import PRESETS
from bench.specs.run import MethodSpec, RunSpec
from reports.records.metrics import METRICS
from reports.tables.training import define_metric, describe_edges, describe_training
from tests.reports.made_results import make_result


def run_of(preset, method="lora", **spec_fields):
    """Return a result with the protocol of a preset."""
    spec = RunSpec(MethodSpec(method), "brats2020", "", 0, 0, PRESETS[preset].protocol, Path())
    record = json.loads(json.dumps(spec.protocol_record()))
    return replace(make_result(method), protocol=record, provenance={"spec": spec_fields})


def test_the_papers_training_is_named_in_full():
    said = " ".join(describe_training([run_of("paper"), run_of("paper", "full")]))
    for words in (
        "soft Dice of the foreground classes alone",
        "8 accumulated batches of 2 patches",
        "Adam (amsgrad), weight decay of all that trains",
        "no gradient clipping",
        "weights of the last epoch, without selection",
        "backbone and method 0.002, decoder 0.002, but by method, decoder included: "
        "Full fine-tuning 1e-4",
        "the warm-up and cosine of Med-Tuning's code",
        "overlap 67 %, blended with equal weights, mean over 8 mirrored volumes",
    ):
        assert words in said


def test_inner_validation_that_is_less_than_the_evaluation_is_named():
    cheap = "weights of the epoch that is best on inner validation; inner validation: "
    cheap += "8 cases at most, the same for all methods of a fold, overlap 25 %"
    assert cheap in " ".join(describe_training([run_of("quick")]))
    assert "inner validation:" not in " ".join(describe_training([run_of("demo")]))
    paper = run_of("paper")
    assert "inner validation:" not in " ".join(describe_training([paper]))  # it decides nothing
    paper.protocol["tune"]["trials"] = 12
    assert "overlap 25 %, no mirrored volumes" in " ".join(describe_training([paper]))


def test_rates_that_tuning_chose_are_not_given_as_those_of_the_protocol():
    said = " ".join(describe_training([run_of("demo", chosen=[["train.lr", "0.5"]])]))
    rate = PRESETS["demo"].protocol.train.decoder_lr
    assert f"backbone and method by tuning, decoder {rate:g};" in said
    assert "0.005" not in said


def test_records_of_the_time_before_a_field_have_the_meaning_that_held_then():
    run = run_of("demo")
    for name in ("loss", "accumulate", "select", "decay", "schedule", "method_lr", "decoder_lr"):
        del run.protocol["train"][name]
    del run.protocol["eval"]["blend"]
    said = " ".join(describe_training([run]))
    for words in (
        "plus cross-entropy",
        "steps of 1 patch",
        "best on inner validation",
        "decay of all that trains",
        "decoder 0.005",
        "Gaussian weights",
    ):
        assert words in said
    assert describe_training([replace(run, protocol={})]) == []


def test_the_distance_is_defined_as_the_protocol_scores_it():
    metric = METRICS["hd95_mm"]
    assert define_metric(metric, [run_of("demo")]) == metric.definition
    pooled = "the 95th percentile of the distances of both directions together"
    assert define_metric(metric, [run_of("paper")]) == pooled
    both = define_metric(metric, [run_of("demo"), run_of("paper")])
    assert both == f"{metric.definition} / {pooled}"


def test_values_at_an_end_of_their_range_are_named():
    runs = [run_of("demo", edges=["train.lr", "method.rank"]), run_of("demo", "full")]
    (sentence,) = describe_edges(runs)
    assert sentence.endswith("may be outside: LoRA train.lr, LoRA rank.")
    assert describe_edges(runs[1:]) == []
