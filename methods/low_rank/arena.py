"""ARENA: LoRA as a product with a diagonal, whose entries a proximal step sets to zero.

Reference: Baklouti et al., ARENA: Regularized Low-Rank Adaptation for Few-Shot Organ Segmentation,
MICCAI Workshops 2025, arXiv 2507.15793.

    y = W x + B diag(v) A x
    after each step of the optimiser:  v <- sign(v) * max(|v| - lr * lambda, 0)

The rank is found in training: entries of v that are zero add nothing. A starts Kaiming uniform, B
at zero, v at one.

Our choices: the authors' code could not be read. Layers (query and value, each with its own A, B
and v), the start of v, the default of lambda and the range of ranks are ours. The penalty moves
with the learning rate of the schedule, as a proximal gradient step does.
"""

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import nn

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.low_rank.lora import QUERY, VALUE, LowRankUpdate
from methods.settings import RATE, at_least, setting
from methods.sites import HasSites, Role

PARTS = (QUERY, VALUE)


@dataclass(frozen=True)
class Arena(Method):
    """Low-rank updates that choose their rank."""

    rank: int = setting(16, "largest rank of the update", at_least(1), (8, 16, 32))
    penalty: float = setting(0.01, "lambda of the penalty", at_least(0), (0.001, 0.01, 0.1))
    dropout: float = setting(0.0, "dropout before A", RATE, (0.0, 0.1))

    info: ClassVar[MethodInfo] = MethodInfo(
        "arena",
        "ARENA",
        "Baklouti et al., ARENA: Regularized Low-Rank Adaptation for Few-Shot Organ Segmentation, "
        "2025",
        "https://arxiv.org/abs/2507.15793",
        roles=(Role.QKV,),
        identity_at_init=True,
        identity_note="B starts at zero",
        mergeable=True,
        family=Family.LOW_RANK,
        year=2025,
    )

    def late_gradient(self) -> dict[str, str]:
        return {f"*.{name}": "B starts at zero" for name in ("lora_a", "diagonal")}

    def inject(self, backbone: HasSites) -> None:
        """Raises: ValueError if the rank is larger than the width."""
        for site in self.find_sites(backbone, Role.QKV):
            if self.rank > site.width:
                limit = f"{site.width}, the width of block {site.index}"
                raise ValueError(f"arena: rank must be <= {limit}, got {self.rank}")
            layer = cast(nn.Linear, site.module)
            surgery.replace(site, SparseRankUpdate(layer, self.rank, self.penalty, self.dropout))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 2 (2 E r + r), summed over the blocks."""
        sites = self.find_sites(backbone, Role.QKV)
        return sum(len(PARTS) * (2 * site.width + 1) * self.rank for site in sites)


class SparseRankUpdate(LowRankUpdate):
    """Updates B diag(v) A of the rows of query and value."""

    def __init__(self, base: nn.Linear, rank: int, penalty: float, dropout: float) -> None:
        super().__init__(base, 3, PARTS, rank, 1.0, dropout)
        self.penalty = penalty
        self.diagonal = nn.Parameter(torch.ones(len(PARTS), rank))

    def no_weight_decay(self) -> set[str]:
        return {"diagonal"}

    def find_up(self) -> torch.Tensor:
        return self.lora_b * self.diagonal[:, None]

    @torch.no_grad()
    def after_step(self, lr: float) -> None:
        """Move v towards zero, and no further."""
        shrunk = (self.diagonal.abs() - lr * self.penalty).clamp_min(0)
        self.diagonal.copy_(self.diagonal.sign() * shrunk)

    def describe(self) -> dict[str, float]:
        """Return how many entries of v are not zero, of query and value together."""
        return {"rank": int(self.diagonal.count_nonzero())}
