"""DKA: a bottleneck with a very large and a small depthwise convolution behind the block.

Reference: Dual-Kernel Adapter, ICLR 2026, and its public code.

    y = x + W_up dropout(GELU(DW51(z) + DW5(z))),    z = GELU(W_down x)

No layer has a bias. Class and register tokens go through W_down and W_up without convolutions.
torch's default initialisation, so it is not the identity at step 0. With ``weighted`` the branches
are weighed by the softmax of two learnt numbers, both 0 at first.

Our choices: every block has one; the authors' ViT class puts one into the last block alone
(``blocks=last_1``), their Swin into listed blocks. The width is not given there: 64. On a grid of n
tokens a side only the middle 2n-1 taps of a row can meet a token (on 8x8, 9 % of the 51x51 kernel):
the others are counted, for they are trained parameters, but not computed, which changes no output.
"""

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import nn
from torch.nn import functional as F

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.settings import RATE, Condition, at_least, setting
from methods.sites import HasSites, Role, TokenLayout
from methods.wrappers import Behind

ODD = Condition("odd and >= 1", lambda value: value >= 1 and value % 2 == 1)


@dataclass(frozen=True)
class Dka(Method):
    """A large and a small kernel in an adapter."""

    bottleneck: int = setting(64, "width of the bottleneck", at_least(1), (8, 16, 64))
    kernel: int = setting(51, "size of the large kernel", ODD)
    small_kernel: int = setting(5, "size of the small kernel", ODD)
    dropout: float = setting(0.1, "dropout on the hidden units", RATE, (0.0, 0.1))
    weighted: bool = setting(False, "learn weights of the two branches")

    info: ClassVar[MethodInfo] = MethodInfo(
        "dka",
        "Dual-Kernel Adapter",
        "Dual-Kernel Adapter, ICLR 2026",
        "https://github.com/misswayguy/DKA",
        roles=(Role.BLOCK,),
        identity_at_init=False,
        identity_note="torch's default initialisation, as in the authors' code",
        family=Family.ADAPTER,
        year=2026,
    )

    def inject(self, backbone: HasSites) -> None:
        kernels = (self.kernel, self.small_kernel)
        for site in self.find_sites(backbone, Role.BLOCK):
            sizes = (site.width, self.bottleneck)
            adapter = DualKernel(site.layout, sizes, kernels, self.dropout)
            if self.weighted:
                adapter.balance = nn.Parameter(torch.zeros(2))
            surgery.replace(site, Behind(adapter, site.module))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 2 E m + 2626 m a block with kernels of 51 and 5, and 2 more if weighted."""
        taps = self.kernel**2 + self.small_kernel**2
        sites = self.find_sites(backbone, Role.BLOCK)
        sizes = [(2 * site.width + taps) * self.bottleneck + 2 * self.weighted for site in sites]
        return sum(sizes)


class DualKernel(nn.Module):
    """The adapter on tokens (B*D, P+N, E); ``sizes`` are E and the hidden width."""

    def __init__(
        self, layout: TokenLayout, sizes: tuple[int, int], kernels: tuple[int, int], dropout: float
    ) -> None:
        super().__init__()
        width, hidden = sizes
        self.layout = layout
        self.down = nn.Linear(width, hidden, bias=False)
        self.convs = nn.ModuleList(
            nn.Conv2d(hidden, hidden, k, groups=hidden, bias=False) for k in kernels
        )
        self.up = nn.Linear(hidden, width, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.balance: nn.Parameter | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        prefix, patches = self.layout.split(F.gelu(self.down(x)))
        maps = self.layout.to_maps(patches)
        branches = torch.stack(
            [convolve(maps, cast(torch.Tensor, conv.weight)) for conv in self.convs]
        )
        if self.balance is not None:
            branches = branches * self.balance.softmax(dim=0).reshape(2, 1, 1, 1, 1)
        h = torch.cat([prefix, branches.sum(dim=0).flatten(2).transpose(1, 2)], dim=1)
        return x + self.up(self.dropout(F.gelu(h)))


def convolve(maps: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Return the depthwise convolution of maps (B*D, h, H, W), padded with zeros to their size.

    Taps that only ever meet the padding are left out.
    """
    half = kernel.shape[-1] // 2
    reach = [min(half, size - 1) for size in maps.shape[-2:]]
    rows, columns = (slice(half - each, half + each + 1) for each in reach)
    return F.conv2d(maps, kernel[..., rows, columns], padding=reach, groups=maps.shape[1])
