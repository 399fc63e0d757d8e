"""A method in a small network: how the checks of its promises build, run and train it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn import functional as F

from bench.models import registry
from bench.models.build import build_segmenter
from bench.models.segmenter import Segmenter, apply_method
from methods.base import Method

DEPTH, CHANNELS, CLASSES = 3, 2, 3
LEARNING_RATE, WEIGHT_DECAY = 1e-2, 0.1  # large, so that everything that may move does
Gradients = dict[str, torch.Tensor | None]  # by trained tensor; None: autograd gave none


@dataclass(frozen=True)
class Subject:
    """A method on a backbone with random weights; every network is a copy."""

    method: Method
    backbone: str = "tiny_vit"

    @property
    def patch(self) -> tuple[int, int, int]:
        """A small patch (D, H, W) in voxels that the backbone takes."""
        size = max(32, 2 * registry.get(self.backbone).multiple_of)
        return DEPTH, size, size

    def build_plain(self) -> Segmenter:
        """Return the network without the method, nothing frozen."""
        return copy.deepcopy(_build_plain(self.backbone, self.patch))

    def build_tuned(self, seed: int = 0) -> Segmenter:
        """Return the network with the method in it; the seed decides how the method starts."""
        model = self.build_plain()
        apply_method(model, self.method, seed)
        return model

    def make_volume(self) -> torch.Tensor:
        """Return two volumes (B, C, D, H, W), always the same."""
        return torch.randn(2, CHANNELS, *self.patch, generator=torch.Generator().manual_seed(5))


@lru_cache(maxsize=2)
def _build_plain(backbone: str, patch: tuple[int, int, int]) -> Segmenter:
    return build_segmenter(
        backbone, "none", in_channels=CHANNELS, n_classes=CLASSES, patch=patch, seed=0
    )


@torch.no_grad()
def predict(model: Segmenter, volume: torch.Tensor) -> torch.Tensor:
    """Return the logits in evaluation mode."""
    return model.eval()(volume)


def train(model: Segmenter, volume: torch.Tensor, n_steps: int) -> list[Gradients]:
    """Take steps on random labels; return the gradients of what is tuned, step by step."""
    generator = torch.Generator().manual_seed(1)
    target = torch.randint(CLASSES, (len(volume), *volume.shape[2:]), generator=generator)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    model.train()
    history: list[Gradients] = []
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(volume), target)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
        gradients: Gradients = {}
        for name, parameter in model.tuned_parameters().items():
            gradients[name] = None if parameter.grad is None else parameter.grad.clone()
        history.append(gradients)
        optimizer.step()
    return history
