"""GPS: of every neuron, the weights with the largest gradients train, and the biases.

Reference: Zhang et al., Gradient-based Parameter Selection for Efficient Fine-Tuning, CVPR 2024,
arXiv 2312.10136, section 3.2.

    y = (W + M * dW) x + b,   M has k ones in each row: the entries with the largest |dL/dW|

in every linear layer and convolution. The gradients are summed over batches of training patches
before training. Norms stay frozen.

Our choices: L is the loss of the task, where the paper has a contrastive loss of classification; 16
batches, where the paper sees all training images. Only the chosen entries are stored and trained:
the same steps as with masked gradients, and nothing else can move.
"""

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import nn

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.selective.sparse import GradientSum, SparseUpdate
from methods.settings import at_least, setting
from methods.sites import HasSites, Role, Site

BLOCK_LAYERS = (Role.QKV, Role.PROJ, Role.FC1, Role.FC2)
LAYERS = (Role.PATCH_EMBED, Role.REDUCTION, *BLOCK_LAYERS)


@dataclass(frozen=True)
class Gps(Method):
    """The entries of each row with the largest gradients."""

    per_neuron: int = setting(1, "entries of each row that train", at_least(1), (1, 2, 5))
    n_batches: int = setting(16, "batches of training patches that choose them", at_least(1))

    info: ClassVar[MethodInfo] = MethodInfo(
        "gps",
        "GPS",
        "Zhang et al., Gradient-based Parameter Selection for Efficient Fine-Tuning, CVPR 2024",
        "https://arxiv.org/abs/2312.10136",
        roles=BLOCK_LAYERS,
        identity_at_init=True,
        identity_note="the changes of the weights start at zero",
        mergeable=True,
        tunes_backbone=True,
        family=Family.SELECTIVE,
        year=2024,
    )

    def inject(self, backbone: HasSites) -> None:
        """Until the gradients are seen, the first entries of each row stand for the chosen ones.

        Raises: ValueError if a row has fewer entries.
        """
        updates = []
        for site in self.find_sites(backbone, *LAYERS):
            weight = _weight(site)
            fan_in = weight[0].numel()
            if self.per_neuron > fan_in:
                limit = f"{fan_in}, the inputs of {site.role} of block {site.index}"
                raise ValueError(f"gps: per_neuron must be <= {limit}, got {self.per_neuron}")
            first = torch.arange(self.per_neuron).expand(len(weight), -1)
            update = SparseUpdate(site.module, _flatten(first, fan_in))
            bias = cast("nn.Parameter | None", site.module.bias)
            surgery.thaw([] if bias is None else [bias])
            surgery.replace(site, update)
            updates.append(update)
        backbone.selection = RowSelection(updates, self.per_neuron, self.n_batches)

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return k + 1 for each row of a linear layer or convolution; without a bias, k."""
        total = 0
        for site in self.find_sites(backbone, *LAYERS):
            has_bias = site.module.bias is not None
            total += len(_weight(site)) * (self.per_neuron + has_bias)
        return total


class RowSelection:
    """Chooses the entries of each row whose summed gradients are the largest."""

    def __init__(self, updates: list[SparseUpdate], per_neuron: int, n_batches: int) -> None:
        self.updates = updates
        self.per_neuron = per_neuron
        self.n_batches = n_batches

    def start(self) -> GradientSum:
        return GradientSum([update.weight for update in self.updates], squared=False)

    def choose(self, seen: GradientSum) -> None:
        for update, total in zip(self.updates, seen.totals, strict=True):
            rows = total.flatten(1).abs()
            largest = rows.topk(self.per_neuron, dim=1).indices
            update.set_entries(_flatten(largest, rows.shape[1]))


def _flatten(columns: torch.Tensor, fan_in: int) -> torch.Tensor:
    """Return the places in the flattened weight of some columns of each row, (rows, k)."""
    rows = torch.arange(len(columns), device=columns.device)
    return (rows[:, None] * fan_in + columns).flatten()


def _weight(site: Site) -> torch.Tensor:
    return cast(torch.Tensor, site.module.weight)
