"""A whole run in this process, on five small phantoms."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data.utils import dense_patch_slices
from pydantic import TypeAdapter

import datasets
from bench.run import execute, network, setup
from bench.run.cases import preparation_of
from bench.run.delta_file import read_delta
from bench.run.firewall import SELECTION_FILE, read_selection
from bench.specs.protocol import EvalSpec
from bench.specs.run import DELTA_FILE, RunSpec
from datasets.prepared import prepare
from datasets.splits.rule import split_cases
from methods.base import MissingRole
from reports.records.run import RESULT_FILE, Status, read_result


def test_a_run_leaves_a_complete_record(make_run, carry_out, tmp_path):
    spec = make_run(group="run-1", study="s#3", chosen=(("train.lr", "0.02"),))
    result = carry_out(spec, tmp_path)
    assert (result.status, result.reason, result.traceback) == (Status.DONE, "", "")
    assert read_result(tmp_path).to_json() == result.to_json()
    selection, (header, _) = read_selection(tmp_path), read_delta(tmp_path)
    assert result.chosen_sha256 == selection.chosen_sha256 == header.delta_sha256
    assert result.best_epoch == selection.epoch
    assert selection.val_dice == result.curve[selection.epoch].val_dice
    assert (result.test_reads, result.reload_max_abs_diff) == (1, 0.0)
    assert result.data_fingerprint == spec.fingerprint
    assert result.split_hash == split_of(spec).hash
    assert {row.case for row in result.cases} == set(split_of(spec).test)
    assert result.group == "run-1"
    cost = result.cost
    assert cost.params_trained == cost.params_tuned + cost.params_decoder
    assert cost.params_plain == cost.params_total - cost.params_tuned  # LoRA adds what it tunes
    assert result.cost.delta_mib == (tmp_path / DELTA_FILE).stat().st_size / 2**20
    assert result.provenance["seeds"] == spec.seeds
    stored = json.loads((tmp_path / RESULT_FILE).read_text())["provenance"]["spec"]
    assert (
        TypeAdapter(RunSpec).validate_python(stored) == spec
    )  # the run can be asked for again from its result
    assert result.provenance["device_name"]
    assert result.provenance["wall_s"] > result.cost.fit_s + result.cost.score_s
    assert torch.__version__.startswith(result.provenance["packages"]["torch"])


@pytest.mark.parametrize(("flips", "mirrored"), [(False, 1), (True, 8)])
def test_the_cost_of_a_volume_is_that_of_the_windows_of_the_held_out_cases(
    flips, mirrored, make_run, carry_out, tmp_path, prepared
):
    spec = make_run("linear")
    # the cutoff is chosen on inner validation cases, whose windows must not be counted
    scoring = EvalSpec(overlap=0.5, flips=flips, et_min_vox="auto")
    spec = replace(spec, protocol=replace(spec.protocol, eval=scoring))
    cost = carry_out(spec, tmp_path).cost
    split = split_of(spec)
    dataset = datasets.build("brats", spec.root)
    cases = [case for case in dataset.find_labelled() if case.id in split.test]
    settings = preparation_of(spec.protocol.data)
    n_windows = []
    for case in prepare.prepare(dataset, cases, prepared, settings=settings):
        sizes = np.maximum(case.image().shape[1:], spec.protocol.data.patch)
        steps = [max(1, size // 2) for size in spec.protocol.data.patch]
        n_windows.append(len(dense_patch_slices(sizes, spec.protocol.data.patch, steps)))
    assert len(n_windows) == len(split.test) == 2
    assert min(n_windows) > 1
    assert cost.compute.passes_per_volume == mirrored * np.mean(n_windows)
    assert cost.compute.volume_gflop == pytest.approx(
        cost.compute.passes_per_volume * cost.compute.forward_gflop
    )


@pytest.fixture
def own_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_protocol_decides_the_threads_and_not_the_process(
    make_run, carry_out, tmp_path, own_threads
):
    spec = make_run("lora")
    found = []
    for started_with in (1, 2):
        torch.set_num_threads(started_with)
        found.append(carry_out(spec, tmp_path / f"with-{started_with}"))
    assert [result.provenance["threads"] for result in found] == [1, 1]
    assert found[0].chosen_sha256 == found[1].chosen_sha256
    assert found[0].cases == found[1].cases
    assert found[0].provenance["precision"] == "32-true"

    protocol = replace(spec.protocol, train=replace(spec.protocol.train, threads=2))
    two = carry_out(replace(spec, protocol=protocol), tmp_path / "two")
    assert two.provenance["threads"] == 2
    assert two.protocol_id != found[0].protocol_id


@pytest.fixture
def watched(monkeypatch, make_run, tmp_path):
    """Let every touch of a held-out case raise until the choice is on disk; list the reads.

    A touch is of its files or of its arrays.
    """
    reads = []
    test = set(split_of(make_run()).test)

    def watch(owner, name):
        original = getattr(owner, name)

        def touch(*arguments):
            case = next(each for each in arguments if hasattr(each, "id"))
            if case.id in test:
                assert (tmp_path / SELECTION_FILE).is_file(), (
                    f"{name} of {case.id} was read before the choice"
                )
                reads.append((name, case.id))
            return original(*arguments)

        monkeypatch.setattr(owner, name, touch)

    for name in ("image", "label", "foreground"):
        watch(prepare.PreparedCase, name)
    watch(prepare, "prepare_case")
    return reads


def test_no_held_out_case_is_touched_before_the_choice(watched, make_run, carry_out, tmp_path):
    result = carry_out(
        make_run(), tmp_path, tmp_path / "cache"
    )  # an empty one: what is prepared is not read again
    assert result.status is Status.DONE, result.traceback
    assert {case for _, case in watched} == set(split_of(make_run()).test)
    assert {name for name, _ in watched} >= {"prepare_case", "image", "label"}


def test_the_watch_catches_a_run_that_looks_too_early(
    watched, make_run, carry_out, tmp_path, monkeypatch
):
    original = setup.build_training_data

    def peek(spec, fold, *rest):
        case = next(case for case in fold.dataset.find_labelled() if case.id in split_of(spec).test)
        prepare.prepare(fold.dataset, [case], tmp_path)
        return original(spec, fold, *rest)

    monkeypatch.setattr(setup, "build_training_data", peek)
    result = carry_out(make_run(), tmp_path)
    assert result.status is Status.FAILED
    assert "was read before the choice" in result.reason
    assert result.test_reads == 0


def test_a_run_that_dies_in_scoring_keeps_what_it_knew_and_its_repetition_counts(
    make_run, carry_out, tmp_path, monkeypatch
):
    def die(*arguments):
        raise RuntimeError("the disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr(execute, "score_held_out", die)
        first = carry_out(make_run(), tmp_path)
    assert (first.status, first.reason) == (Status.FAILED, "RuntimeError: the disk is gone")
    assert "score_held_out" in first.traceback
    assert first.test_reads == 1
    assert first.split_hash
    assert len(first.curve) == 2
    second = carry_out(make_run(), tmp_path)
    assert (second.status, second.test_reads) == (Status.DONE, 2)
    assert second.chosen_sha256 == first.chosen_sha256  # the second look was at the same weights


def test_a_skipped_run_keeps_what_was_found_before_the_method(
    make_run, carry_out, tmp_path, monkeypatch
):
    def refuse(*arguments, **options):
        raise MissingRole("lora needs role 'qkv'")

    monkeypatch.setattr(network, "apply_method", refuse)
    result = carry_out(make_run(), tmp_path)
    assert (result.status, result.reason) == (Status.SKIPPED, "lora needs role 'qkv'")
    assert result.traceback == ""
    assert result.split_hash == split_of(make_run()).hash
    assert list(result.provenance)[-5:] == ["seeds", "ct_window", "weights", "ended_at", "wall_s"]
    assert read_result(tmp_path).to_json() == result.to_json()


def test_a_delta_that_does_not_give_the_network_back_fails_the_run_before_the_test(
    make_run, carry_out, tmp_path, monkeypatch
):
    original = execute.write_delta

    def write_another(folder, model, spec, info):
        sha256 = original(folder, model, spec, info)
        with torch.no_grad():
            next(model.decoder.parameters()).add_(0.5)
        return sha256

    monkeypatch.setattr(execute, "write_delta", write_another)
    result = carry_out(make_run(), tmp_path)
    assert result.status is Status.FAILED
    assert (
        "reload: the stored delta must give the logits of the trained network, which reach"
        in result.reason
    )
    assert result.reload_max_abs_diff > 0
    assert (result.test_reads, result.cases) == (0, ())


def test_an_infinite_number_fails_the_run_and_is_named(make_run, carry_out, tmp_path, monkeypatch):
    original = execute.score_held_out

    def score(*arguments):
        scored = original(*arguments)
        return replace(
            scored, cases=(replace(scored.cases[0], hd95_mm=float("inf")), *scored.cases[1:])
        )

    monkeypatch.setattr(execute, "score_held_out", score)
    result = carry_out(make_run(), tmp_path)
    assert result.status is Status.FAILED
    assert (
        result.reason
        == "ValueError: result.cases[0].hd95_mm: must be a finite number or nan, got inf"
    )
    assert json.loads((tmp_path / RESULT_FILE).read_text())["cases"] == []


def split_of(spec):
    labelled = datasets.build(spec.dataset, spec.root).find_labelled()
    return split_cases(
        labelled,
        spec.fold,
        n_folds=spec.protocol.data.n_folds,
        val_frac=spec.protocol.data.val_frac,
    )


def test_advice_to_round_matrix_products_is_not_printed():
    logging.getLogger("lightning_fabric").setLevel(logging.INFO)  # as Fabric leaves it
    network.build_fabric("cpu", "32-true")
    speaker = logging.getLogger("lightning_fabric.utilities.rank_zero")  # says it on a GPU
    assert not speaker.isEnabledFor(logging.INFO)
    assert speaker.isEnabledFor(logging.WARNING)
