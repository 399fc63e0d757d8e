"""A method on a small backbone, and a few steps of training: what promises are checked on."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import torch
from torch.nn import functional as F

from bench.models import registry
from bench.models.backbones.info import Blueprint
from bench.models.build import Patch, build_segmenter
from bench.models.hooks import Hooks
from bench.models.segmenter import Segmenter, apply_method, random_stream
from bench.models.selection import run_selection
from methods.base import Method
from methods.sites import Role

DEPTH, CHANNELS, CLASSES = 3, 2, 3
SELECTION_BATCHES = 2  # for methods that choose by gradients
LEARNING_RATE, WEIGHT_DECAY = 1e-2, 0.1  # large, so that everything that may move does
Gradients = dict[str, torch.Tensor | None]  # by trained tensor; None: autograd gave none


@dataclass(frozen=True)
class Subject:
    """A method on a backbone with random weights; every network is a copy."""

    method: Method
    backbone: str = "tiny_vit"

    @property
    def patch(self) -> Patch:
        size = max(32, 2 * registry.get(self.backbone).multiple_of)
        return DEPTH, size, size

    @property
    def offered_roles(self) -> set[Role]:
        """What kinds of sites the backbone has."""
        return {site.role for site in _build_plain(self.backbone, self.patch).backbone.sites}

    def build_plain(self) -> Segmenter:
        return copy.deepcopy(_build_plain(self.backbone, self.patch))

    def outline(self) -> Segmenter:
        """Return the network with the method in it, without numbers; call it on torch's meta."""
        model = _build_plain.__wrapped__(self.backbone, self.patch)
        apply_method(model, self.method, seed=0)
        return model

    def build_tuned(self, seed: int = 0) -> Segmenter:
        """Return the network with the method in it; the seed decides how the method starts."""
        model = self.build_plain()
        self.apply_to(model, seed)
        return model

    def apply_to(self, model: Segmenter, seed: int = 0) -> None:
        """Put the method into a network that `build_plain` has made, and let it choose."""
        apply_method(model, self.method, seed)
        with random_stream(seed, "selection"):
            losses = islice(iter_losses(model.train(), self.make_volume()), SELECTION_BATCHES)
            run_selection(model, losses)

    def make_volume(self) -> torch.Tensor:
        """Return two volumes (B, C, D, H, W), always the same."""
        return torch.randn(2, CHANNELS, *self.patch, generator=torch.Generator().manual_seed(5))


@lru_cache(maxsize=2)
def _build_plain(name: str, patch: Patch) -> Segmenter:
    blueprint = Blueprint(name)
    return build_segmenter(blueprint, in_channels=CHANNELS, n_classes=CLASSES, patch=patch, seed=0)


@torch.no_grad()
def predict(model: Segmenter, volume: torch.Tensor) -> torch.Tensor:
    """Return the logits in evaluation mode."""
    return model.eval()(volume)


def train(model: Segmenter, volume: torch.Tensor, n_steps: int) -> list[Gradients]:
    """Take steps on random labels; return the gradients of what is tuned, step by step."""
    losses, hooks = iter_losses(model, volume), Hooks(model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    model.train()
    history: list[Gradients] = []
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss = hooks.add_losses(next(losses))
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
        tuned = model.tuned_parameters()
        # the next step makes new gradients, so these need no copy
        history.append({name: parameter.grad for name, parameter in tuned.items()})
        optimizer.step()
        hooks.after_step(LEARNING_RATE)
    return history


def iter_losses(model: Segmenter, volume: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the loss on random labels again and again, each of the model as it then is."""
    generator = torch.Generator().manual_seed(1)
    target = torch.randint(CLASSES, (len(volume), *volume.shape[2:]), generator=generator)
    while True:
        yield F.cross_entropy(model(volume), target)
