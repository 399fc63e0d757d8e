"""SSF: what every frozen layer gives is scaled and shifted, channel by channel.

Reference: Lian et al., Scaling & Shifting Your Features: A New Baseline for Efficient Model Tuning,
NeurIPS 2022, arXiv 2210.08823, section 3.2.

    y' = gamma * y + beta,   gamma ~ N(1, 0.02^2),  beta ~ N(0, 0.02^2)

behind the patch embedding, both norms, the layer that makes query, key and value, the attention's
projection, both layers of the MLP, and the final norm; in Swin also behind the norm of the patch
embedding and those of the mergings. gamma and beta fold into the layer in front of them.

Our choices: merging, which the paper describes and the authors' code lacks, is explicit and undone
bit for bit.
"""

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import nn

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.settings import at_least, setting
from methods.sites import HasSites, Role, Site

LAYERS = (Role.NORM1, Role.QKV, Role.PROJ, Role.NORM2, Role.FC1, Role.FC2)
ENDS = (Role.PATCH_EMBED, Role.PATCH_NORM, Role.MERGE_NORM, Role.FINAL_NORM)


@dataclass(frozen=True)
class Ssf(Method):
    """A scale and a shift behind every layer."""

    std: float = setting(0.02, "deviation of the first scales and shifts", at_least(0))

    info: ClassVar[MethodInfo] = MethodInfo(
        name="ssf",
        title="SSF",
        paper="Lian et al., Scaling & Shifting Your Features, NeurIPS 2022",
        url="https://arxiv.org/abs/2210.08823",
        roles=LAYERS,
        identity_at_init=False,
        identity_note="scales and shifts start at random around 1 and 0; the identity with std=0",
        mergeable=True,
        family=Family.SCALE_SHIFT,
        year=2022,
    )

    def starts_as_identity(self) -> bool:
        return self.std == 0

    def inject(self, backbone: HasSites) -> None:
        for site in self.find_sites(backbone, *LAYERS, *ENDS):
            inserted = ScaleShift(site.module, count_channels(site))
            nn.init.normal_(inserted.gamma, 1.0, self.std)
            if inserted.beta is not None:
                nn.init.normal_(inserted.beta, 0.0, self.std)
            surgery.replace(site, inserted)

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 22 E a block, 2 E for the patch embedding and the final norm, in Swin 2 E and 8 E
        for the norms of the patch embedding and of each merging.
        """
        sites = self.find_sites(backbone, *LAYERS, *ENDS)
        return sum(2 * count_channels(site) for site in sites)


class ScaleShift(surgery.Folding):
    """gamma * y + beta for y of a frozen layer: tokens (..., C), or maps (B*D, C, h, w)."""

    def __init__(self, base: nn.Module, channels: int, *, shift: bool = True) -> None:
        super().__init__(base)
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels)) if shift else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.base(x)
        is_map = self.weight.ndim == 4  # the layer is a convolution
        shape = (-1, 1, 1) if is_map else (-1,)
        if not self.is_merged:
            y = y * self.gamma.reshape(shape)
        if self.beta is None or (self.is_merged and self.bias is not None):
            return y
        return y + self.beta.reshape(shape)

    def fold(self) -> dict[str, torch.Tensor]:
        rows = self.gamma.reshape(-1, *[1] * (self.weight.ndim - 1))
        folded = {"weight": self.weight * rows}
        if self.bias is not None:
            beta = 0 if self.beta is None else self.beta
            folded["bias"] = self.bias * self.gamma + beta
        return folded


def count_channels(site: Site) -> int:
    """Return how many channels the layer at a site gives."""
    return cast(torch.Tensor, site.module.weight).shape[0]
