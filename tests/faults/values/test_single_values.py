"""A norm with a single value raises in training, so such batches are refused beforehand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.app import main
from bench.grid.answers import Refusal, iter_answers
from bench.grid.feasibility import ANSWER, PATIENCE_S, Question, check_methods, find_smallest_batch
from bench.models import registry
from bench.specs.protocol import DataSpec, ModelSpec, Protocol, TrainSpec
from bench.specs.run import MethodSpec
from methods import names
from reports.records.run import Status

REFUSED = r"a norm must have more than one value per channel, got one from the smallest batch"
SLICE, DOT = (1, 64, 64), (1, 32, 32)  # a slice of several tokens; of one on the coarsest map


def make_protocol(
    patch: tuple[int, int, int], n_patches: int = 1, batch: int = 1, decoder: str = "own", **train
) -> Protocol:
    data = DataSpec(patch=patch, patches_per_epoch=n_patches)
    model = ModelSpec("tiny_swin", decoder=decoder)
    return Protocol(data, model, TrainSpec(batch=batch, **train))


def is_refused(method: str, protocol: Protocol) -> bool:
    try:
        check_methods([MethodSpec(method)], protocol)
    except ValueError as error:
        assert REFUSED in str(error), error  # noqa: PT017
        return True
    return False


@pytest.mark.parametrize("decoder", registry.DECODERS)
def test_decoders_with_batch_norm_refuse_a_batch_of_one_slice(decoder: str) -> None:
    assert is_refused("linear", make_protocol(SLICE, decoder=decoder)) == ("upernet" in decoder)
    assert not is_refused("linear", make_protocol((2, 64, 64), decoder=decoder))


def test_methods_with_batch_norm_refuse_a_batch_of_one_token() -> None:
    protocol = make_protocol(DOT, decoder="light")
    questions = [Question(MethodSpec(name), protocol) for name in names()]
    refused = []
    for each in iter_answers(ANSWER, questions, PATIENCE_S):  # as `check_methods`, in one process
        if isinstance(each.value, Refusal):
            assert re.search(REFUSED, each.value.sentence)
            refused.append(each.job.method.name)
    assert "med_adapter" in refused
    assert not {"linear", "full", "lora", "vpt_deep", "adaptformer"}.intersection(refused)


def test_the_last_batch_counts_where_training_gets_to_it() -> None:
    cases = {(4, 2): 2, (3, 2): 1, (1, 2): 1, (5, 4): 1, (7, 4): 3}
    for (n_patches, batch), smallest in cases.items():
        protocol = make_protocol(SLICE, n_patches, batch, "upernet")
        assert find_smallest_batch(protocol) == smallest
        assert is_refused("linear", protocol) == (smallest == 1)
    early = make_protocol(SLICE, 5, 4, "upernet", max_steps=1)
    assert find_smallest_batch(early) == 4
    assert not is_refused("linear", early)
    accumulated = make_protocol(SLICE, 5, 4, "upernet", max_steps=1, accumulate=2)
    assert is_refused("linear", accumulated)


def test_the_command_says_what_to_change(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["run", "--methods", "linear", "--datasets", "brats"]
    for setting in ("data.patch=1,64,64", "data.patches_per_epoch=3", "model.decoder=upernet"):
        arguments += ["--set", setting]
    assert main(arguments) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert REFUSED in said
    assert "(1 of 1x64x64 voxels)" in said
    assert "train.batch of 2 or more that divides data.patches_per_epoch" in said


def test_slices_one_by_one_train_and_are_measured(make_run, carry_out, tmp_path: Path) -> None:
    """A measured step counts the operations of a single patch."""
    spec = make_run("linear")
    data = replace(spec.protocol.data, patch=(1, 32, 32))
    model = replace(spec.protocol.model, decoder="upernet")
    spec = replace(spec, protocol=replace(spec.protocol, data=data, model=model))
    result = carry_out(spec, tmp_path)
    assert (result.status, result.reason) == (Status.DONE, "")
    assert result.cost is not None
    assert result.cost.compute.training_gflop > result.cost.compute.forward_gflop > 0
    assert result.cost.compute.uncounted == ()


@pytest.mark.parametrize("name", ["net:unetr", "net:nnunet", "net:nnunet_resenc"])
def test_reference_networks_are_asked_as_well(name: str) -> None:
    small = {"net:unetr": (16, 16, 16)}.get(name, (8, 8, 8))
    try:
        check_methods([MethodSpec(name)], make_protocol(small))
    except ValueError as error:
        assert "must" in str(error)  # noqa: PT017
    check_methods([MethodSpec(name)], make_protocol((32, 32, 32)))
