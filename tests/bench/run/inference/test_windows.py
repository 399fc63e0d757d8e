"""Windows and their blending against MONAI's, bit for bit."""

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from monai.inferers import sliding_window_inference
from torch import nn

from bench.run.inference.predictor import Predictor
from bench.run.inference.windows import MIRRORS, build_weights, list_windows
from bench.specs.protocol import EvalSpec

PATCH = (4, 8, 6)


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv3d(2, 3, 3, padding=1).eval()


@pytest.mark.parametrize("size", [PATCH, (9, 20, 17), (3, 5, 7), (4, 30, 6), (11, 8, 6)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.67, 0.9])
@pytest.mark.parametrize("blend", ["gaussian", "constant"])
def test_logits_are_those_of_monai(size, overlap, blend):
    network = make_network()
    volume = torch.randn(1, 2, *size)
    spec = EvalSpec(overlap=overlap, blend=blend)
    fabric = Fabric(accelerator="cpu", devices=1)
    ours = Predictor(network, PATCH, spec, fabric).compute_logits(volume[0].numpy())
    theirs = predict_by_monai(network, volume, spec)
    assert torch.equal(ours, theirs[0])


@torch.inference_mode()
def predict_by_monai(network: nn.Module, volume: torch.Tensor, spec: EvalSpec) -> torch.Tensor:
    return sliding_window_inference(
        volume, PATCH, 1, network, overlap=spec.overlap, mode=spec.blend, padding_mode="constant"
    )


@pytest.mark.parametrize("size", [(9, 20, 17), (3, 5, 7)])
def test_mirrored_volumes_are_those_of_monai_turned_back(size):
    network = make_network()
    volume = torch.randn(1, 2, *size)
    spec = EvalSpec(overlap=0.5, flips=True)
    fabric = Fabric(accelerator="cpu", devices=1)
    ours = Predictor(network, PATCH, spec, fabric).compute_logits(volume[0].numpy())
    theirs = [predict_by_monai(network, volume.flip(axes), spec).flip(axes)[0] for axes in MIRRORS]
    assert len(theirs) == 8
    np.testing.assert_allclose(ours, torch.stack(theirs).mean(dim=0), atol=1e-6)


@pytest.mark.parametrize(("length", "overlap"), [(6, 0.5), (7, 0.5), (64, 0.25), (6, 0.99)])
def test_windows_cover_the_volume_and_stay_in_it(length, overlap):
    seen = torch.zeros(length, 6, 6)
    windows = list_windows(seen.shape, (6, 6, 6), overlap)
    assert len(set(map(str, windows))) == len(windows)
    for window in windows:
        assert seen[window].shape == (6, 6, 6)
        seen[window] += 1
    assert (seen > 0).all()


def test_the_middle_of_a_window_weighs_most():
    weights = build_weights((5, 7, 9), "gaussian")
    assert weights.argmax() == weights.numel() // 2
    assert weights.min() >= 1e-3
    assert (build_weights((5, 7, 9), "constant") == 1).all()
