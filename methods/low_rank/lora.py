"""LoRA: a low-rank update next to frozen linear layers.

Reference: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022, arXiv
2106.09685, section 4.1.

    y = W x + (alpha / rank) * B A dropout(x),   A ~ Kaiming uniform (a = sqrt 5),   B = 0

In the fused qkv layer every adapted part (query, key, value) has its own A and B, as in the
authors' ``MergedLinear``: one A for all three would be another method.

Our choices: rank 8 with alpha 8 (the authors' library has alpha 1); merging is explicit and undone
bit for bit, where the authors merge on every ``eval()``.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import nn
from torch.nn import functional as F

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.settings import RATE, above, at_least, one_of, setting
from methods.sites import HasSites, Role, Site

Parts = tuple[int, ...]
QUERY, KEY, VALUE = 0, 1, 2
PLACEMENTS: dict[str, dict[Role, Parts]] = {  # role -> the adapted parts of its output rows
    "qv": {Role.QKV: (QUERY, VALUE)},
    "qkv": {Role.QKV: (QUERY, KEY, VALUE)},
    "qkvo": {Role.QKV: (QUERY, KEY, VALUE), Role.PROJ: (0,)},
    "all": {Role.QKV: (QUERY, KEY, VALUE), Role.PROJ: (0,), Role.FC1: (0,), Role.FC2: (0,)},
}


@dataclass(frozen=True)
class Lora(Method):
    """Low-rank updates of the attention's (and, if asked for, the MLP's) linear layers."""

    rank: int = setting(8, "rank of the update", at_least(1), (4, 8, 16))
    alpha: float = setting(8.0, "the update is scaled by alpha / rank", above(0), (8.0, 16.0, 32.0))
    dropout: float = setting(0.0, "dropout before A", RATE, (0.0, 0.1))
    placement: str = setting("qv", "which layers: qv, qkv, qkvo, all", one_of(*PLACEMENTS))

    info: ClassVar[MethodInfo] = MethodInfo(
        name="lora",
        title="LoRA",
        paper="Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022",
        url="https://arxiv.org/abs/2106.09685",
        roles=(Role.QKV,),
        identity_at_init=True,
        identity_note="B starts at zero",
        mergeable=True,
        family=Family.LOW_RANK,
        year=2022,
    )

    def needed_roles(self) -> tuple[Role, ...]:
        return tuple(PLACEMENTS[self.placement])

    def late_gradient(self) -> dict[str, str]:
        return {"*.lora_a": "B, which follows it, starts at zero"}

    def inject(self, backbone: HasSites) -> None:
        """Raises: ValueError if the rank is larger than the width."""
        for site in self._find_layers(backbone):
            if self.rank > site.width:
                limit = f"{site.width}, the width of block {site.index}"
                raise ValueError(f"lora: rank must be <= {limit}, got {self.rank}")
            layer, n_parts, scale = _layer(site), _count_parts(site), self.alpha / self.rank
            adapted = PLACEMENTS[self.placement][site.role]
            update = LowRankUpdate(layer, n_parts, adapted, self.rank, scale, self.dropout)
            surgery.replace(site, update)

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return rank * (inputs + outputs) summed over the adapted parts."""
        total = 0
        for site in self._find_layers(backbone):
            layer = _layer(site)
            sizes = layer.in_features + layer.out_features // _count_parts(site)
            total += self.rank * sizes * len(PLACEMENTS[self.placement][site.role])
        return total

    def _find_layers(self, backbone: HasSites) -> list[Site]:
        return self.find_sites(backbone, *PLACEMENTS[self.placement])


class LowRankUpdate(surgery.Folding):
    """A frozen linear layer (..., E) -> (..., outputs) with low-rank updates of some output rows.

    The rows are ``n_parts`` equal parts, of which those numbered in ``adapted`` get an update.
    """

    def __init__(
        self, base: nn.Linear, n_parts: int, adapted: Parts, rank: int, scale: float, dropout: float
    ) -> None:
        super().__init__(base)
        self.n_parts = n_parts
        self.adapted = adapted
        self.scale = scale
        self.in_features = base.in_features
        self.out_features = base.out_features
        self.dropout = nn.Dropout(dropout)
        self.lora_a = nn.Parameter(torch.empty(len(adapted), rank, base.in_features))
        self.lora_b = nn.Parameter(torch.zeros(len(adapted), base.out_features // n_parts, rank))
        for part in self.lora_a:
            nn.init.kaiming_uniform_(part, a=math.sqrt(5))

    def find_up(self) -> torch.Tensor:
        """Return what stands for B, (adapted parts, outputs of a part, R)."""
        return self.lora_b

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.base(x)
        if self.is_merged:
            return y
        up = self.find_up()
        hidden = F.linear(self.dropout(x), self.lora_a.flatten(0, 1))
        hidden_parts = hidden.chunk(len(self.adapted), dim=-1)
        parts = list(y.chunk(self.n_parts, dim=-1))
        for number, part in enumerate(self.adapted):
            update = F.linear(hidden_parts[number], up[number])
            parts[part] = parts[part] + self.scale * update
        return torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]

    def fold(self) -> dict[str, torch.Tensor]:
        up = self.find_up()
        rows = list(self.weight.chunk(self.n_parts))
        for number, part in enumerate(self.adapted):
            rows[part] = rows[part] + self.scale * up[number] @ self.lora_a[number]
        return {"weight": torch.cat(rows)}


def _layer(site: Site) -> nn.Linear:
    return cast(nn.Linear, site.module)  # by its role


def _count_parts(site: Site) -> int:
    return 3 if site.role is Role.QKV else 1
