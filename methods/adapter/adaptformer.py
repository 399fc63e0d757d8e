"""AdaptFormer: a bottleneck in parallel to the MLP of every block.

Reference: Chen et al., AdaptFormer: Adapting Vision Transformers for Scalable Visual Recognition,
NeurIPS 2022, arXiv 2205.13535, equations 3-4.

    out = x + MLP(LN(x)) + s * (W_up dropout(ReLU(W_down x + b_down)) + b_up)

where x is the stream after the attention's residual, taken before the norm; the scale applies to
the bias, too. W_down starts Kaiming uniform (a = sqrt 5), all else at zero. Drop path does not
apply to the branch.

Our choices: in Swin, for which there is no code by the authors, the place is the same and the
bottleneck is as wide in all stages.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from methods import surgery
from methods.adapter.bottlenecks import count_bottlenecks
from methods.base import Family, Method, MethodInfo
from methods.settings import RATE, above, at_least, setting
from methods.sites import HasSites, Role
from methods.wrappers import Beside


@dataclass(frozen=True)
class AdaptFormer(Method):
    """A parallel bottleneck beside every MLP."""

    bottleneck: int = setting(64, "width of the bottleneck", at_least(1), (8, 16, 64))
    scale: float = setting(0.1, "factor of the bottleneck's output", above(0), (0.1, 1.0, 10.0))
    dropout: float = setting(0.1, "dropout on the hidden units", RATE, (0.0, 0.1))

    info: ClassVar[MethodInfo] = MethodInfo(
        name="adaptformer",
        title="AdaptFormer",
        paper="Chen et al., AdaptFormer: Adapting Vision Transformers for Scalable Visual "
        "Recognition, NeurIPS 2022",
        url="https://arxiv.org/abs/2205.13535",
        roles=(Role.MLP_BRANCH,),
        identity_at_init=True,
        identity_note="W_up and its bias start at zero",
        family=Family.ADAPTER,
        year=2022,
    )

    def late_gradient(self) -> dict[str, str]:
        return {"*.adapter.down.*": "W_up, which follows it, starts at zero"}

    def inject(self, backbone: HasSites) -> None:
        for site in self.find_sites(backbone, Role.MLP_BRANCH):
            adapter = Bottleneck(site.width, self.bottleneck, self.scale, self.dropout)
            surgery.replace(site, Beside(adapter, site.module))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 2 E b + b + E, summed over the blocks."""
        return count_bottlenecks(self.find_sites(backbone, Role.MLP_BRANCH), self.bottleneck)


class Bottleneck(nn.Module):
    """E -> b -> E with a ReLU, on tokens (..., E); starts as zero."""

    def __init__(self, width: int, hidden: int, scale: float, dropout: float) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Linear(width, hidden)
        self.up = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(self.dropout(torch.relu(self.down(x)))) * self.scale
