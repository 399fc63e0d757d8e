"""ST-Adapter: a bottleneck with a depthwise convolution along the slices, on the stream itself.

Reference: Pan et al., ST-Adapter: Parameter-Efficient Image-to-Video Transfer Learning, NeurIPS
2022, arXiv 2206.13559, section 3.3.

    x = x + W_up DW(3,1,1)(W_down x)

in front of the MLP's norm, or of both norms; frames of a video are the slices of a volume. The
convolution and its bias start at zero, as do the biases of the others: the identity.

Our choices: the hidden width is half of the token's at every stage (384 for ViT-B/16, as in the
paper). Class and register tokens pass unchanged, as in the authors' code.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.settings import at_least, one_of, setting
from methods.sites import HasSites, Role, TokenLayout
from methods.volumetric.depth import DepthConv, find_hidden
from methods.wrappers import BeforeResidual

PLACEMENTS = {"mlp": (Role.MLP_BRANCH,), "both": (Role.ATTN_BRANCH, Role.MLP_BRANCH)}


@dataclass(frozen=True)
class StAdapter(Method):
    """Convolutions along depth in front of the MLP."""

    ratio: int = setting(
        2, "token width divided by the adapter's hidden width", at_least(1), (2, 4, 8)
    )
    placement: str = setting("mlp", "in front of the MLP or of attention, too", one_of(*PLACEMENTS))

    info: ClassVar[MethodInfo] = MethodInfo(
        "st_adapter",
        "ST-Adapter",
        "Pan et al., ST-Adapter: Parameter-Efficient Image-to-Video Transfer Learning, "
        "NeurIPS 2022",
        "https://arxiv.org/abs/2206.13559",
        roles=(Role.ATTN_BRANCH, Role.MLP_BRANCH),
        identity_at_init=True,
        identity_note="the convolution and all biases start at zero",
        family=Family.VOLUMETRIC,
        year=2022,
    )

    def late_gradient(self) -> dict[str, str]:
        reason = "the convolution between W_down and W_up starts at zero"
        return {"*.adapter.down.*": reason, "*.adapter.up.weight": reason}

    def inject(self, backbone: HasSites) -> None:
        """Raises: ValueError if the hidden width vanishes."""
        for site in self.find_sites(backbone, *PLACEMENTS[self.placement]):
            hidden = find_hidden("st_adapter", site, self.ratio)
            adapter = DepthAdapter(site.layout, site.width, hidden)
            surgery.replace(site, BeforeResidual(adapter, site.module))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 2 E h + E + 5 h for each adapter, with h = E // ratio."""
        total = 0
        for site in self.find_sites(backbone, *PLACEMENTS[self.placement]):
            hidden = find_hidden("st_adapter", site, self.ratio)
            total += 2 * site.width * hidden + site.width + 5 * hidden
        return total


class DepthAdapter(nn.Module):
    """W_up DW(3,1,1)(W_down x) of the patches, zeros for the P others: tokens (B*D, P+N, E)."""

    def __init__(self, layout: TokenLayout, width: int, hidden: int) -> None:
        super().__init__()
        self.layout = layout
        self.down = nn.Linear(width, hidden)
        self.conv = DepthConv(layout, hidden, groups=hidden)
        self.up = nn.Linear(hidden, width)
        nn.init.zeros_(self.conv.weight)
        for layer in (self.down, self.conv, self.up):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layout.change_patches(x, self._change)

    def _change(self, patches: torch.Tensor) -> torch.Tensor:
        return self.up(self.conv(self.down(patches)))
