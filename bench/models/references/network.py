"""A reference network in the place of a segmenter, so that one loop trains and one code scores."""

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from bench.models.backbones.info import LoadedWeights
from bench.models.references.base import Reference, ReferenceInfo, Shape, Task
from bench.models.segmenter import Segmenter, random_stream
from methods.selection import Selection


class Trunk(nn.Module):
    """The whole network, in a segmenter's place for the backbone; it has no site for a method.

    Volumes (B, C, D, H, W) to logits (B, K, D, H, W). A volume smaller than ``size`` is filled up
    with zeros at the end of its axes, and the logits there are cut off.
    """

    loaded: LoadedWeights | None = None
    frozen_modules: tuple[nn.Module, ...] = ()
    selection: Selection | None = None  # a method's, and it has none

    def __init__(self, info: ReferenceInfo, network: nn.Module, size: Shape) -> None:
        super().__init__()
        self.info = info
        self.network = network
        self.size = size

    @property
    def name(self) -> str:
        return self.info.name

    def no_weight_decay(self) -> list[str]:
        """Return the names of the position embeddings, as timm's networks do."""
        names = [name for name, _ in self.named_parameters()]
        return [name for name in names if name.rpartition(".")[2] in self.info.undecayed]

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        depth, height, width = volume.shape[2:]
        if (depth, height, width) == self.size:
            return self.network(volume)
        missing = [0, self.size[2] - width, 0, self.size[1] - height, 0, self.size[0] - depth]
        return self.network(F.pad(volume, missing))[..., :depth, :height, :width]


class WholeNetwork(Segmenter):
    """A segmenter without a decoder of ours: everything in it trains."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__(trunk, nn.Identity())  # type: ignore[arg-type]  # a trunk has no sites

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        return self.backbone(volume)


def build_network(reference: Reference, task: Task, seed: int) -> WholeNetwork:
    """Return the network with random weights; the global random state is untouched.

    Raises: ValueError if a package is missing or the patch does not fit.
    """
    size = reference.find_input(task)
    with random_stream(seed, reference.info.name):
        network = reference.build(replace(task, patch=size))
    return WholeNetwork(Trunk(reference.info, network, size))
