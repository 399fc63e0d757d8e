"""From a run's folder back to its network; what can be wrong with the folder."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from dataclasses import replace
from itertools import product

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import methods
from bench.models.delta import delta_state, frozen_state
from bench.models.segmenter import apply_method
from bench.models.weights.checkpoints import file_sha256
from bench.run.delta_file import DeltaError, read_delta, write_delta
from bench.run.network import build, build_plain
from bench.run.restore import ReloadError, check_reloaded, load_run
from bench.specs.protocol import DataSpec, ModelSpec, Protocol
from bench.specs.run import DELTA_FILE, MethodSpec, RunSpec
from datasets.brats import Brats
from reports.records.run import Status

PATCH = (2, 32, 32)
BRATS = Brats.describe("brats2020")


@pytest.fixture
def spec(tmp_path):
    protocol = Protocol(DataSpec(patch=PATCH), ModelSpec("tiny_vit"))
    return RunSpec(
        MethodSpec("lora", (("rank", "2"),)), "brats", "abc", 1, 7, protocol, tmp_path / "data"
    )


def make_trained(spec):
    """Return the run's network with every trained tensor moved."""
    model = build(spec, BRATS)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01 * torch.randn_like(parameter))
    return model.eval()


def logits(model):
    return model(torch.randn(1, 4, *PATCH, generator=torch.Generator().manual_seed(1))).detach()


def test_the_network_comes_back_bit_for_bit(spec, tmp_path):
    trained = make_trained(spec)
    sha256 = write_delta(tmp_path, trained, spec, BRATS)
    state_before = torch.random.get_rng_state()
    restored_spec, restored = load_run(tmp_path, "cpu")
    assert torch.equal(torch.random.get_rng_state(), state_before)
    assert restored_spec == spec
    assert not restored.training
    assert torch.equal(logits(restored), logits(trained))
    assert not torch.equal(logits(build_plain(spec, BRATS).eval()), logits(trained))
    assert read_delta(tmp_path)[0].delta_sha256 == sha256


def test_the_file_holds_what_was_trained_and_nothing_else(spec, tmp_path):
    trained = make_trained(spec)
    write_delta(tmp_path, trained, spec, BRATS)
    with safe_open(tmp_path / DELTA_FILE, framework="pt") as file:
        assert set(file.keys()) == set(delta_state(trained))
        header = json.loads(file.metadata()["header"])
    assert header["run_id"] == spec.run_id
    assert header["spec"]["protocol"]["data"]["patch"] == list(PATCH)
    assert header["dataset"]["classes"] == list(BRATS.classes)
    n_frozen = sum(tensor.numel() for tensor in frozen_state(trained).values())
    n_kept = sum(tensor.numel() for tensor in delta_state(trained).values())
    assert n_frozen + n_kept == sum(tensor.numel() for tensor in trained.state_dict().values())
    assert (tmp_path / DELTA_FILE).stat().st_size < 4 * n_kept + 20_000


def test_the_same_weights_hash_alike_wherever_the_data_lie(spec, tmp_path):
    torch.manual_seed(0)
    trained = make_trained(spec)
    elsewhere = replace(spec, root=tmp_path / "elsewhere")
    assert write_delta(tmp_path, trained, spec, BRATS) == write_delta(
        tmp_path, trained, elsewhere, BRATS
    )


def test_the_root_can_be_another_by_now(spec, tmp_path):
    write_delta(tmp_path, make_trained(spec), spec, BRATS)
    moved, _ = load_run(tmp_path, "cpu", root=tmp_path / "moved")
    assert moved == replace(spec, root=tmp_path / "moved")


def test_a_folder_without_delta(tmp_path):
    with pytest.raises(
        DeltaError, match=r"must hold delta\.safetensors, got no such file \(has the run ended\?\)"
    ):
        load_run(tmp_path, "cpu")


@pytest.mark.parametrize("keep", [0, 5, 400, -1], ids=["empty", "length", "header", "last byte"])
def test_a_truncated_file_is_one_sentence(spec, tmp_path, keep):
    write_delta(tmp_path, make_trained(spec), spec, BRATS)
    path = tmp_path / DELTA_FILE
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DeltaError, match=r"delta\.safetensors is truncated or damaged \(.+\)$"):
        load_run(tmp_path, "cpu")


def test_one_flipped_bit_is_noticed(spec, tmp_path):
    write_delta(tmp_path, make_trained(spec), spec, BRATS)
    path = tmp_path / DELTA_FILE
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        DeltaError, match=r"is damaged: its tensors must hash to \w{12}, got \w{12}$"
    ):
        load_run(tmp_path, "cpu")


def rewrite(folder, **changes):
    path = folder / DELTA_FILE
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() | changes
    _, state = read_delta(folder)
    save_file(state, path, {key: value for key, value in metadata.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"format": None},
            "must be a delta of this benchmark, got a safetensors file of another origin",
        ),
        ({"format_version": "2"}, r"must be of format version 1, got 2 \(repeat the run\)"),
        ({"header": "{}"}, "has damaged metadata: run_id: "),
        ({"header": None}, "has damaged metadata: header: "),
    ],
)
def test_metadata_that_are_not_ours(spec, tmp_path, changes, message):
    write_delta(tmp_path, make_trained(spec), spec, BRATS)
    rewrite(tmp_path, **changes)
    with pytest.raises(DeltaError, match=message):
        load_run(tmp_path, "cpu")


def test_a_delta_from_before_the_setting_had_no_class_token(spec, tmp_path):
    old = replace(spec.protocol, model=ModelSpec("timm:test_vit", prefix_tokens="drop"))
    trained = make_trained(replace(spec, protocol=old))
    write_delta(tmp_path, trained, replace(spec, protocol=old), BRATS)
    with safe_open(tmp_path / DELTA_FILE, framework="pt") as file:
        header = json.loads(file.metadata()["header"])
    del header["spec"]["protocol"]["model"]["prefix_tokens"]
    del header["spec"]["protocol"]["model"]["decoder"]
    rewrite(tmp_path, header=json.dumps(header))
    restored_spec, restored = load_run(tmp_path, "cpu")
    assert restored_spec.protocol.model == ModelSpec("timm:test_vit", prefix_tokens="drop")
    assert torch.equal(logits(restored), logits(trained))


def test_another_frozen_backbone_is_noticed(spec, tmp_path):
    trained = make_trained(spec)
    with torch.no_grad():
        trained.backbone.pos_embed.add_(1e-6)  # frozen: not in the delta
    write_delta(tmp_path, trained, spec, BRATS)
    with pytest.raises(DeltaError, match="belongs to a backbone whose frozen tensors hash to"):
        load_run(tmp_path, "cpu")


@pytest.fixture
def pretrained(tmp_path):
    """Return a function that writes a file of ViT weights."""

    def write(name, seed):
        torch.manual_seed(seed)
        vit = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0)
        save_file(vit.state_dict(), tmp_path / name)
        return tmp_path / name

    return write


def test_weights_that_were_moved_are_found_and_others_refused(pretrained, tmp_path):
    weights = pretrained("first.safetensors", 0)
    protocol = Protocol(DataSpec(patch=PATCH), ModelSpec("vit_ti16", str(weights)))
    spec = RunSpec(
        MethodSpec("linear"), "brats", "abc", 0, 0, protocol, tmp_path, file_sha256(weights)
    )
    trained = make_trained(spec)
    write_delta(tmp_path, trained, spec, BRATS)
    moved = weights.rename(tmp_path / "moved.safetensors")
    with pytest.raises(ValueError, match=r"weights: there is no file .*first\.safetensors"):
        load_run(tmp_path, "cpu")
    found, restored = load_run(tmp_path, "cpu", weights=str(moved))
    assert torch.equal(logits(restored), logits(trained))
    assert found.run_id == spec.run_id
    other = pretrained("other.safetensors", 1)
    with pytest.raises(
        DeltaError,
        match=rf"was trained on weights with SHA-256 {file_sha256(moved)[:12]}, got .* from",
    ):
        load_run(tmp_path, "cpu", weights=str(other))
    with pytest.raises(DeltaError, match="got none from 'none'"):
        load_run(tmp_path, "cpu", weights="none")


def test_the_files_of_other_methods_do_not_fit(spec, tmp_path):
    write_delta(tmp_path, make_trained(spec), replace(spec, method=MethodSpec("linear")), BRATS)
    with pytest.raises(ValueError, match=r"load_delta: \d+ tensors are unexpected: "):
        load_run(tmp_path, "cpu")


def test_a_method_that_trains_everything_needs_no_backbone_of_its_own(spec, tmp_path):
    full = replace(spec, method=MethodSpec("full"))
    trained = make_trained(full)
    assert frozen_state(trained) == {}
    write_delta(tmp_path, trained, full, BRATS)
    assert torch.equal(logits(load_run(tmp_path, "cpu")[1]), logits(trained))


def test_what_the_protocol_trains_beside_the_method_is_kept(spec, tmp_path):
    paper = replace(
        spec,
        protocol=replace(spec.protocol, model=replace(spec.protocol.model, also_train="paper")),
    )
    trained = make_trained(paper)
    write_delta(tmp_path, trained, paper, BRATS)
    assert "backbone.pos_embed" in read_delta(tmp_path)[1]
    assert torch.equal(logits(load_run(tmp_path, "cpu")[1]), logits(trained))


def test_networks_of_trial_and_registry_are_the_same(spec):
    model = build_plain(spec, BRATS)
    apply_method(model, methods.build("lora", {"rank": "2"}), seed=spec.seeds["method"])
    by_spec = build(spec, BRATS)
    assert torch.equal(logits(model.eval()), logits(by_spec.eval()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "method"),
    [*product(["tiny_vit"], methods.PAPER), *product(["tiny_swin"], methods.names())],
)
def test_every_method_reloads_from_a_real_run(method, backbone, make_run, carry_out, tmp_path):
    result = carry_out(make_run(method, backbone), tmp_path)
    if result.status is Status.SKIPPED:
        assert "needs role" in result.reason
        assert not (tmp_path / DELTA_FILE).exists()
        return
    assert (result.status, result.reload_max_abs_diff, result.test_reads) == (
        Status.DONE,
        0.0,
        1,
    ), result.traceback
    spec, model = load_run(tmp_path, "cpu")
    assert spec.run_id == result.run_id
    state, fresh = delta_state(model), delta_state(build(spec, BRATS))
    if model.backbone.selection is None:  # gradients choose what else trains
        assert state.keys() == fresh.keys()
    moved = [
        name for name in state if name not in fresh or not torch.equal(state[name], fresh[name])
    ]
    assert moved
    assert any(name.startswith("backbone.") for name in moved) == (result.cost.params_tuned > 0)


@pytest.mark.parametrize(
    ("device", "difference", "largest", "holds"),
    [
        ("cpu", 0.0, 3.0, True),
        ("cpu", 1e-9, 3.0, False),
        ("cuda", 0.067, 13_000.0, True),  # seen on a GPU after two steps of ViT-B/16
        ("cuda", 0.067, 3.0, False),
        ("cuda", math.nan, 3.0, False),
        ("cuda", 1.0, math.nan, False),
    ],
)
def test_a_reload_may_differ_by_the_rounding_of_its_device(device, difference, largest, holds):
    with (
        nullcontext()
        if holds
        else pytest.raises(ReloadError, match=f"got a difference of {difference:g}")
    ):
        check_reloaded(difference, largest, torch.device(device))
