"""MA-SAM: adapters with a full convolution along the slices, and FacT on query and value.

Reference: Chen et al., MA-SAM: Modality-agnostic SAM Adaptation for 3D Medical Image Segmentation,
Medical Image Analysis 2024, arXiv 2309.08842, section 3.2.

    x = x + W_up GELU(Conv(3,1,1)(W_down LN'(x)))    in front of the norms of attention and MLP
    q = W_q x + V dropout(S_q U x),   v = W_v x + V dropout(S_v U x)

LN' is a new norm, W_down and W_up have no bias, the convolution is dense. Adapters start as torch's
defaults, so it is not the identity at step 0; V starts at zero.

Our choices: it is put into any backbone, without SAM's prompt encoder and mask decoder; the hidden
width is half of the token's at every stage (384 for ViT-B/16, as in the authors' code); where
widths differ, FacT has one U and V for each. Class and register tokens pass the adapters
unchanged.
"""

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import nn
from torch.nn import functional as F

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.low_rank.fact import Cores, FactLinear, Shared, group_by_width
from methods.settings import RATE, at_least, setting
from methods.sites import HasSites, Role, TokenLayout
from methods.volumetric.depth import DepthConv, find_hidden
from methods.wrappers import BeforeResidual

QUERY_AND_VALUE = (0, 2)  # of the three parts of qkv
BRANCHES = (Role.ATTN_BRANCH, Role.MLP_BRANCH)


@dataclass(frozen=True)
class MaSam(Method):
    """Adapters along depth, and FacT in the attention."""

    ratio: int = setting(
        2, "token width divided by the adapter's hidden width", at_least(1), (2, 4, 8)
    )
    rank: int = setting(32, "rank of FacT", at_least(1), (8, 16, 32))
    dropout: float = setting(0.1, "dropout in front of V", RATE, (0.0, 0.1))

    info: ClassVar[MethodInfo] = MethodInfo(
        "ma_sam",
        "MA-SAM",
        "Chen et al., MA-SAM: Modality-agnostic SAM Adaptation for 3D Medical Image Segmentation, "
        "Medical Image Analysis 2024",
        "https://arxiv.org/abs/2309.08842",
        roles=(*BRANCHES, Role.QKV),
        identity_at_init=False,
        identity_note="the adapters start at torch's defaults, as in the authors' code",
        family=Family.VOLUMETRIC,
        year=2024,
    )

    def late_gradient(self) -> dict[str, str]:
        return {
            f"*.{part}": "V starts at zero" for part in ("shared.down.weight", "cores.matrices")
        }

    def inject(self, backbone: HasSites) -> None:
        """Raises: ValueError if the hidden width of the adapters vanishes."""
        for sites in group_by_width(self.find_sites(backbone, Role.QKV)):
            shared = Shared(sites[0].width, self.rank)
            for site in sites:
                layer, strength = cast(nn.Linear, site.module), (1.0, self.dropout)
                cores = Cores(2, self.rank, shares_output=False)
                change = QueryValueUpdate(layer, shared, cores, strength, QUERY_AND_VALUE)
                surgery.replace(site, change)
        for site in self.find_sites(backbone, *BRANCHES):
            hidden = find_hidden("ma_sam", site, self.ratio)
            adapter = DenseDepthAdapter(site.layout, site.width, hidden)
            surgery.replace(site, BeforeResidual(adapter, site.module))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 2 (2 E h + 3 h^2 + h + 2 E) + 2 r^2 a block, h = E // ratio; 2 E r a width."""
        total = 0
        for site in self.find_sites(backbone, *BRANCHES):
            hidden = find_hidden("ma_sam", site, self.ratio)
            total += 2 * site.width * hidden + 3 * hidden**2 + hidden + 2 * site.width
        layers = self.find_sites(backbone, Role.QKV)
        widths = {site.width for site in layers}
        return total + 2 * self.rank**2 * len(layers) + 2 * self.rank * sum(widths)


class QueryValueUpdate(FactLinear):
    """FacT on query and value; it does not merge, as the adapters beside it cannot."""

    def fold(self) -> dict[str, torch.Tensor]:
        return {}


class DenseDepthAdapter(nn.Module):
    """What an adapter adds to the patches, zeros for the P others: tokens (B*D, P+N, E)."""

    def __init__(self, layout: TokenLayout, width: int, hidden: int) -> None:
        super().__init__()
        self.layout = layout
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, hidden, bias=False)
        self.conv = DepthConv(layout, hidden)
        self.up = nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layout.change_patches(x, self._change)

    def _change(self, patches: torch.Tensor) -> torch.Tensor:
        return self.up(F.gelu(self.conv(self.down(self.norm(patches)))))
