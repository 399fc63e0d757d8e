"""Weights by name and by file: the table, the hub's cache, and what a run does with them."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import get_pretrained_cfg

import datasets
from bench.models import registry
from bench.models.backbones.info import NORMALISATION
from bench.models.build import build_backbone, check_weights
from bench.models.weights import sources
from bench.models.weights.catalogue import TABLE
from bench.models.weights.checkpoints import file_sha256
from bench.run.network import build_plain
from bench.specs.protocol import DataSpec, ModelSpec, Protocol
from bench.specs.run import MethodSpec, RunSpec


def test_names_and_files_are_checked_before_anything_is_built(tmp_path):
    with pytest.raises(
        ValueError, match=r"vit_b16: unknown weights 'in22k' \(did you mean 'in21k'\?\); available"
    ):
        registry.check_fit("vit_b16", "in22k", (64, 64))
    with pytest.raises(ValueError, match=r"weights: there is no file 'missing\.npz'"):
        registry.check_fit("vit_b16", "missing.npz", (64, 64))
    with pytest.raises(ValueError, match="weights: must be a file, got the folder"):
        registry.check_fit("vit_b16", f"{tmp_path}/", (64, 64))
    registry.check_fit("vit_b16", "mae", (64, 64))


def test_a_named_backbone_from_a_file(tmp_path):
    torch.manual_seed(0)
    published = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0).eval()
    save_file(published.state_dict(), tmp_path / "vit.safetensors")
    weights = str(tmp_path / "vit.safetensors")
    backbone = build_backbone("vit_ti16", 4, (64, 96), weights)
    assert backbone.loaded is not None
    assert backbone.loaded.sha256 == check_weights("vit_ti16", weights, (64, 96))
    assert backbone.loaded.sha256 == file_sha256(tmp_path / "vit.safetensors")
    assert set(backbone.loaded.resampled) == {"pos_embed", "patch_embed.proj.weight"}
    assert build_backbone("tiny_vit", 4, (64, 64), "none").loaded is None
    assert check_weights("vit_ti16", "none", (64, 96)) == ""


def test_a_run_refuses_a_file_that_is_another_by_now(tmp_path):
    published = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0)
    save_file(published.state_dict(), tmp_path / "vit.safetensors")
    protocol = Protocol(
        DataSpec(patch=(2, 32, 32)), ModelSpec("vit_ti16", str(tmp_path / "vit.safetensors"))
    )
    run = RunSpec(MethodSpec("linear"), "brats", "abc", 0, 0, protocol, tmp_path, "0" * 64)
    info = datasets.get("brats").describe("brats2020")
    with pytest.raises(
        ValueError, match=r"vit\.safetensors' has changed since the run was planned"
    ):
        build_plain(run, info)
    same = replace(run, weights_sha256=file_sha256(tmp_path / "vit.safetensors"))
    loaded = build_plain(same, info).backbone.loaded
    assert loaded is not None
    assert loaded.name == "vit.safetensors"


def test_offline_and_not_cached_is_one_sentence_with_three_ways_out(tmp_path, monkeypatch):
    monkeypatch.setattr(sources.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(sources.constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.perf_counter()
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set") as caught:
        check_weights("vit_ti16", "in21k", (64, 64))
    for words in (
        "vit_tiny_patch16_224.augreg_in21k",
        "machine with network",
        "--weights PATH",
        "--weights none",
    ):
        assert words in str(caught.value)
    assert time.perf_counter() - start < 5

    def fail(address):
        raise TimeoutError

    monkeypatch.setattr(sources.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(sources, "check_reachable", fail)
    with pytest.raises(ValueError, match="cannot be downloaded \\(TimeoutError\\)"):
        sources.fetch("vit_tiny_patch16_224.augreg_in21k", "vit_ti16")


def test_published_weights_come_from_the_cache_with_their_statistics(tmp_path, monkeypatch):
    published = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0)
    folder = tmp_path / "models--timm--vit_tiny_patch16_224.augreg_in21k"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    save_file(published.state_dict(), folder / "snapshots" / "abc" / "model.safetensors")
    monkeypatch.setattr(sources.constants, "HF_HUB_CACHE", str(tmp_path))
    loaded = build_backbone("vit_ti16", 3, (64, 64), "in21k").loaded
    assert loaded is not None
    assert (loaded.name, loaded.source) == ("in21k", "timm vit_tiny_patch16_224.augreg_in21k")
    assert (loaded.mean, loaded.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert loaded.normalisation == NORMALISATION


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: f"{entry.backbone}-{entry.name}")
def test_the_table_says_what_timm_says(entry):
    config = get_pretrained_cfg(entry.tag)
    assert config is not None
    assert config.hf_hub_id == f"timm/{entry.tag}"
    assert config.license == entry.licence
    if entry.backbone in registry.BACKBONES:
        assert entry.name in registry.get(entry.backbone).weights
