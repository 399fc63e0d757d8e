"""LoRA: a low-rank update next to frozen linear layers.

Reference: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022, arXiv
2106.09685, section 4.1.

    y = W x + (alpha / rank) * B A dropout(x),   A ~ Kaiming uniform (a = sqrt 5),   B = 0

In the fused qkv layer every adapted part (query, key, value) has its own A and B, as in the
authors' ``MergedLinear``: one A for all three would be another method.

Our choices: rank 8 with alpha 8 (the authors' library has alpha 1); merging is explicit and undone
bit for bit, where the authors merge on every ``eval()``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods import surgery
from methods.base import Method, MethodInfo, find_sites
from methods.settings import RATE, above, at_least, one_of, setting
from methods.sites import HasSites, Role, Site

QUERY, KEY, VALUE = 0, 1, 2
PLACEMENTS: dict[
    str, dict[Role, tuple[int, ...]]
] = {  # role -> the parts of its output rows that are adapted
    "qv": {Role.QKV: (QUERY, VALUE)},
    "qkv": {Role.QKV: (QUERY, KEY, VALUE)},
    "qkvo": {Role.QKV: (QUERY, KEY, VALUE), Role.PROJ: (0,)},
    "all": {Role.QKV: (QUERY, KEY, VALUE), Role.PROJ: (0,), Role.FC1: (0,), Role.FC2: (0,)},
}


@dataclass(frozen=True)
class Lora(Method):
    """Low-rank updates of the attention's (and, if asked for, the MLP's) linear layers."""

    rank: int = setting(8, "rank of the update", at_least(1), choices=(4, 8, 16))
    alpha: float = setting(
        8.0, "the update is scaled by alpha / rank", above(0), choices=(8.0, 16.0, 32.0)
    )
    dropout: float = setting(0.0, "dropout before A", RATE, choices=(0.0, 0.1))
    placement: str = setting("qv", "which layers: qv, qkv, qkvo, all", one_of(*PLACEMENTS))
    blocks: str = setting("all", "which blocks: all, last_half", one_of("all", "last_half"))

    info: ClassVar[MethodInfo] = MethodInfo(
        name="lora",
        title="LoRA",
        paper="Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022",
        url="https://arxiv.org/abs/2106.09685",
        roles=(Role.QKV,),
        identity_at_init=True,
        identity_note="B starts at zero",
        mergeable=True,
    )

    def needed_roles(self) -> tuple[Role, ...]:
        """Return the roles of the placement."""
        return tuple(PLACEMENTS[self.placement])

    def late_gradient(self) -> dict[str, str]:
        """Return A, which is followed by zeros."""
        return {"*.lora_a": "B, which follows it, starts at zero"}

    def inject(self, backbone: HasSites) -> None:
        """Put an update next to every layer of the placement."""
        for site in self._chosen(backbone):
            self._check_rank(site)
            n_parts = 3 if site.role is Role.QKV else 1
            adapted = PLACEMENTS[self.placement][site.role]
            surgery.wrap(
                site,
                partial(
                    LowRankUpdate,
                    n_parts=n_parts,
                    adapted=adapted,
                    rank=self.rank,
                    scale=self.alpha / self.rank,
                    dropout=self.dropout,
                ),
            )

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return rank * (inputs + outputs) summed over the adapted parts."""
        total = 0
        for site in self._chosen(backbone):
            n_inputs, n_outputs = _features(site)
            total += self.rank * (n_inputs + n_outputs) * len(PLACEMENTS[self.placement][site.role])
        return total

    def _chosen(self, backbone: HasSites) -> list[Site]:
        """Return the layers of the chosen blocks; in front of the first of them no gradient is needed."""
        sites = find_sites(backbone, *PLACEMENTS[self.placement])
        n_blocks = 1 + max(site.index for site in backbone.sites)
        return [site for site in sites if self.blocks == "all" or 2 * site.index >= n_blocks]

    def _check_rank(self, site: Site) -> None:
        if self.rank > site.width:
            raise ValueError(
                f"lora: rank must be <= {site.width}, the width of block {site.index}, got {self.rank}"
            )


class LowRankUpdate(surgery.Mergeable):
    """A frozen linear layer with low-rank updates of some equal parts of its output rows.

    Args: ``base`` maps E to ``n_parts`` equal parts; ``adapted`` are the numbers of the parts that
    get an update.
    """

    def __init__(
        self,
        base: nn.Module,
        *,
        n_parts: int,
        adapted: tuple[int, ...],
        rank: int,
        scale: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.base, self.n_parts, self.adapted, self.scale = base, n_parts, adapted, scale
        # torch types a module's attributes as tensor or module; the roles promise a Linear.
        self.in_features, self.out_features = int(base.in_features), int(base.out_features)  # type: ignore[arg-type]
        self.dropout = nn.Dropout(dropout)
        self.lora_a = nn.Parameter(torch.empty(len(adapted), rank, self.in_features))
        self.lora_b = nn.Parameter(torch.zeros(len(adapted), self.out_features // n_parts, rank))
        for part in self.lora_a:
            nn.init.kaiming_uniform_(part, a=math.sqrt(5))
        self.unmerged: torch.Tensor | None  # the frozen weight, while an update is folded into it
        self.register_buffer("unmerged", None, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., E) to (..., outputs)."""
        y: torch.Tensor = self.base(x)
        if self.unmerged is not None:
            return y
        hidden = F.linear(self.dropout(x), self.lora_a.flatten(0, 1)).chunk(
            len(self.adapted), dim=-1
        )
        parts = list(y.chunk(self.n_parts, dim=-1))
        for number, part in enumerate(self.adapted):
            parts[part] = parts[part] + self.scale * F.linear(hidden[number], self.lora_b[number])
        return torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]

    @property
    def weight(self) -> torch.Tensor:
        """The weight of the frozen layer, with the update in it while merged."""
        weight: torch.Tensor = self.base.weight  # type: ignore[assignment]  # as above
        return weight

    @torch.no_grad()
    def merge(self) -> None:
        """Add the update to the frozen weight."""
        if self.unmerged is None:
            self.unmerged = self.weight.clone()
            parts = self.weight.chunk(self.n_parts)
            for number, part in enumerate(self.adapted):
                parts[part].add_(self.scale * self.lora_b[number] @ self.lora_a[number])

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put the frozen weight back."""
        if self.unmerged is not None:
            self.weight.copy_(self.unmerged)
            self.unmerged = None


def _features(site: Site) -> tuple[int, int]:
    """Return inputs and outputs of one part of the linear layer at a site."""
    layer = site.module  # a Linear, by its role
    n_outputs = int(layer.out_features)  # type: ignore[arg-type]
    return int(layer.in_features), n_outputs // 3 if site.role is Role.QKV else n_outputs  # type: ignore[arg-type]
