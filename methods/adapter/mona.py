"""Mona: an adapter with depthwise convolutions of three sizes behind both residual additions.

Reference: Yin et al., 5%>100%: Breaking Performance Shackles of Full Fine-Tuning on Visual
Recognition Tasks, CVPR 2025, arXiv 2408.08345, section 3.2.

    x = M_1(x + attention(LN(x))),   x = M_2(x + MLP(LN(x)))
    M(x) = x + W_2 dropout(GELU(f(W_1 (gamma * LN'(x) + gamma_x * x))))
    f(z) = u + Conv1(u),   u = z + (DW3(z) + DW5(z) + DW7(z)) / 3

LN' is a new norm; gamma starts at 1e-6 and gamma_x at 1, one value a channel. W_1 and W_2 start
from N(0, 0.02^2), so it is not the identity at step 0.

Our choices: for ViT, where there is no code by the authors, the patches are the image of their grid
and class or register tokens pass unchanged.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.settings import RATE, at_least, setting
from methods.sites import HasSites, Role, TokenLayout
from methods.wrappers import AfterResidual

KERNELS = (3, 5, 7)
BRANCHES = (Role.ATTN_BRANCH, Role.MLP_BRANCH)


@dataclass(frozen=True)
class Mona(Method):
    """Multi-size convolutions on the stream, twice a block."""

    bottleneck: int = setting(64, "width of the bottleneck", at_least(1), (8, 16, 64))
    dropout: float = setting(0.1, "dropout on the hidden units", RATE, (0.0, 0.1))

    info: ClassVar[MethodInfo] = MethodInfo(
        "mona",
        "Mona",
        "Yin et al., 5%>100%: Breaking Performance Shackles of Full Fine-Tuning on Visual "
        "Recognition Tasks, CVPR 2025",
        "https://arxiv.org/abs/2408.08345",
        roles=BRANCHES,
        identity_at_init=False,
        identity_note="random weights of deviation 0.02",
        family=Family.ADAPTER,
        year=2025,
    )

    def inject(self, backbone: HasSites) -> None:
        for site in self.find_sites(backbone, *BRANCHES):
            adapter = MonaAdapter(site.layout, site.width, self.bottleneck, self.dropout)
            surgery.replace(site, AfterResidual(adapter, site.module))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 2 E h + 5 E + h^2 + 88 h for each of two adapters a block."""
        h = self.bottleneck
        sites = self.find_sites(backbone, *BRANCHES)
        return sum(2 * site.width * h + 5 * site.width + h**2 + 88 * h for site in sites)


class MonaAdapter(nn.Module):
    """What M adds to tokens (B*D, P+N, E)."""

    def __init__(self, layout: TokenLayout, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layout = layout
        self.norm = nn.LayerNorm(width)
        self.gamma = nn.Parameter(torch.full((width,), 1e-6))
        self.gamma_x = nn.Parameter(torch.ones(width))
        self.down = nn.Linear(width, hidden)
        self.convs = nn.ModuleList(
            nn.Conv2d(hidden, hidden, k, padding=k // 2, groups=hidden) for k in KERNELS
        )
        self.mix = nn.Conv2d(hidden, hidden, 1)
        self.up = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.down, self.up):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layout.change_patches(x, self._change)

    def _change(self, patches: torch.Tensor) -> torch.Tensor:
        z = self.down(self.norm(patches) * self.gamma + patches * self.gamma_x)
        maps = self.layout.to_maps(z)
        sizes = [conv(maps) for conv in self.convs]
        u = maps + torch.stack(sizes).mean(dim=0)
        h = (u + self.mix(u)).flatten(2).transpose(1, 2)
        return self.up(self.dropout(F.gelu(h)))
