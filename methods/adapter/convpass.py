"""Convpass: a bottleneck with a 3x3 convolution beside the attention and beside the MLP.

Reference: Jie and Deng, Convolutional Bypasses Are Better Vision Transformer Adapters, ECAI 2024,
arXiv 2207.07039, section 3.2.

    x = x + attention(LN(x)) + s * C_1(LN(x)),   x = x + MLP(LN(x)) + s * C_2(LN(x))
    C(z) = W_up dropout(g(conv3x3(g(W_down z)))),   g(x) = x * sigmoid(1.702 x)

The patches are an image of their grid for the convolution; a class token is an image of one pixel.
W_down starts Xavier uniform, W_up at zero, the convolution as the identity, biases at zero.

Our choices: C shares the drop path and, in backbones that have one, the layer scale of the branch
that it stands beside; the identity fits every width of the bottleneck, the authors' only 8.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.settings import RATE, above, at_least, one_of, setting
from methods.sites import HasSites, Role, TokenLayout
from methods.wrappers import Beside

PLACEMENTS = {"both": (Role.ATTN, Role.MLP), "attn": (Role.ATTN,)}


@dataclass(frozen=True)
class Convpass(Method):
    """Convolutional bypasses."""

    bottleneck: int = setting(8, "width of the bottleneck", at_least(1), (8, 16, 64))
    scale: float = setting(1.0, "factor of the bypass", above(0), (0.01, 0.1, 1.0, 10.0))
    dropout: float = setting(0.1, "dropout on the hidden units", RATE, (0.0, 0.1))
    placement: str = setting("both", "beside attention and MLP: both, attn", one_of(*PLACEMENTS))

    info: ClassVar[MethodInfo] = MethodInfo(
        "convpass",
        "Convpass",
        "Jie and Deng, Convolutional Bypasses Are Better Vision Transformer Adapters, ECAI 2024",
        "https://arxiv.org/abs/2207.07039",
        roles=(Role.ATTN, Role.MLP),
        identity_at_init=True,
        identity_note="W_up and its bias start at zero",
        family=Family.ADAPTER,
        year=2022,
    )

    def late_gradient(self) -> dict[str, str]:
        reason = "W_up, which follows, starts at zero"
        return {"*.adapter.down.*": reason, "*.adapter.conv.*": reason}

    def inject(self, backbone: HasSites) -> None:
        for site in self.find_sites(backbone, *PLACEMENTS[self.placement]):
            sizes = (site.width, self.bottleneck)
            bypass = Bypass(site.layout, sizes, self.scale, self.dropout)
            surgery.replace(site, Beside(bypass, site.module))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 2 E h + 9 h^2 + 2 h + E for each bypass."""
        sites = self.find_sites(backbone, *PLACEMENTS[self.placement])
        h = self.bottleneck
        return sum(2 * site.width * h + 9 * h**2 + 2 * h + site.width for site in sites)


class Bypass(nn.Module):
    """s * C(z) on tokens (slices, P+N, E); ``sizes`` are E and the hidden width."""

    def __init__(
        self, layout: TokenLayout, sizes: tuple[int, int], scale: float, dropout: float
    ) -> None:
        super().__init__()
        width, hidden = sizes
        self.layout = layout
        self.scale = scale
        self.down = nn.Linear(width, hidden)
        self.conv = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.up = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.dirac_(self.conv.weight)
        nn.init.zeros_(self.up.weight)
        for layer in (self.down, self.conv, self.up):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        prefix, patches = self.layout.split(quick_gelu(self.down(z)))
        maps = self.conv(self.layout.to_maps(patches))
        alone = F.linear(prefix, self.conv.weight[:, :, 1, 1], self.conv.bias)
        h = torch.cat([alone, maps.flatten(2).transpose(1, 2)], dim=1)
        return self.up(self.dropout(quick_gelu(h))) * self.scale


def quick_gelu(x: torch.Tensor) -> torch.Tensor:
    """Return x * sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)
