"""RepAdapter: a linear bottleneck in front of a frozen layer, which folds into that layer.

Reference: Luo et al., Towards Efficient Visual Adaption via Structural Re-parameterization, 2023,
arXiv 2302.08106, sections 3.2-3.3.

    y = W (z + s * (B dropout(A z + a) + b)) + c,    A dense, B in 2 groups, no activation

for the layers that make query, key and value, and for the first layer of the MLP. A starts Xavier
uniform, all else at zero. Merged, W' = W (I + s B A) and c' = c + s W (B a + b).

Our choices: both places (the authors' ``repblock``); ``placement=attn`` has the first alone. The
paper's 0.22 M for ViT-B/16 leaves out the biases.
"""

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import nn
from torch.nn import functional as F

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.settings import RATE, SpecError, above, at_least, one_of, setting
from methods.sites import HasSites, Role

PLACEMENTS = {"both": (Role.QKV, Role.FC1), "attn": (Role.QKV,)}


@dataclass(frozen=True)
class RepAdapter(Method):
    """Linear adapters in front of the attention and of the MLP."""

    bottleneck: int = setting(8, "width of the bottleneck", at_least(1), (8, 16, 64))
    groups: int = setting(2, "groups of B", at_least(1))
    scale: float = setting(1.0, "factor of the adapter", above(0), (0.1, 0.5, 1.0, 5.0, 10.0))
    dropout: float = setting(0.1, "dropout on the hidden units", RATE, (0.0, 0.1))
    placement: str = setting(
        "both", "in front of attention and MLP: both, attn", one_of(*PLACEMENTS)
    )

    info: ClassVar[MethodInfo] = MethodInfo(
        "repadapter",
        "RepAdapter",
        "Luo et al., Towards Efficient Visual Adaption via Structural Re-parameterization, 2023",
        "https://arxiv.org/abs/2302.08106",
        roles=(Role.QKV, Role.FC1),
        identity_at_init=True,
        identity_note="B and its bias start at zero",
        mergeable=True,
        family=Family.ADAPTER,
        year=2023,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bottleneck % self.groups:
            rule = f"bottleneck must be divisible by groups={self.groups}"
            raise SpecError(f"repadapter: {rule}, got {self.bottleneck}")

    def late_gradient(self) -> dict[str, str]:
        return {"*.down.*": "B, which follows, starts at zero"}

    def inject(self, backbone: HasSites) -> None:
        """Raises: ValueError if a width cannot be divided into the groups."""
        for site in self.find_sites(backbone, *PLACEMENTS[self.placement]):
            if site.width % self.groups:
                rule = f"groups must divide the width {site.width}"
                raise ValueError(f"repadapter: {rule}, got {self.groups}")
            layer = cast(nn.Linear, site.module)
            sizes = (site.width, self.bottleneck, self.groups)
            surgery.replace(site, AdaptedLinear(layer, sizes, self.scale, self.dropout))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return E h + h + E h / groups + E for each adapter."""
        sites = self.find_sites(backbone, *PLACEMENTS[self.placement])
        h = self.bottleneck
        return sum(site.width * (h + h // self.groups + 1) + h for site in sites)


class AdaptedLinear(surgery.Folding):
    """A frozen layer behind z + s (B (A z + a) + b); ``sizes`` are E, hidden width and groups."""

    def __init__(
        self, base: nn.Linear, sizes: tuple[int, int, int], scale: float, dropout: float
    ) -> None:
        super().__init__(base)
        width, hidden, groups = sizes
        self.scale = scale
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(width, hidden)
        self.up = nn.Parameter(torch.zeros(groups, width // groups, hidden // groups))
        self.up_bias = nn.Parameter(torch.zeros(width))
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.is_merged:
            return self.base(x)
        hidden = self.dropout(self.down(x)).unflatten(-1, (len(self.up), -1))
        parts = [F.linear(hidden[..., group, :], self.up[group]) for group in range(len(self.up))]
        return self.base(x + self.scale * (torch.cat(parts, dim=-1) + self.up_bias))

    def fold(self) -> dict[str, torch.Tensor]:
        up = torch.block_diag(*self.up)  # type: ignore[no-untyped-call]  # untyped in torch
        weight = self.weight + self.scale * self.weight @ up @ self.down.weight
        if self.bias is None:
            return {}
        shift = up @ self.down.bias + self.up_bias
        return {"weight": weight, "bias": self.bias + self.scale * self.weight @ shift}
