"""Visual prompt tuning: learnt tokens in front of the patch tokens.

Reference: Jia et al., Visual Prompt Tuning, ECCV 2022, arXiv 2203.12119, equations 4-8.

    shallow:  [.., x_1] = block_1([p, x_0]),  [.., x_i] = block_i([.., x_(i-1)])     one set of prompts travels along
    deep:     [ _, x_i] = block_i([p_(i-1), x_(i-1)])                                new prompts for every block

Prompts start uniform in (-v, v), v^2 = 6 / (3 * patch^2 + E), with E of the first stage for all
stages, and get no position embedding. In a windowed backbone every window sees all prompts, and
their outputs are averaged over the windows of the same image. Prompts are cut off before the
decoder.

Our choices: ten prompts by default (the authors' default is 5, searched in 1 to 200). Where prompts
travel through windows, the authors' code mixes those of different images of a batch; ours does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import nn

from methods import surgery
from methods.base import Method, MethodInfo, find_sites
from methods.settings import RATE, at_least, setting
from methods.sites import HasSites, Role

PAPER = "Jia et al., Visual Prompt Tuning, ECCV 2022"
URL = "https://arxiv.org/abs/2203.12119"


@dataclass(frozen=True)
class VptShallow(Method):
    """Prompts enter before the first block and travel through all of them."""

    n_prompts: int = setting(10, "number of prompt tokens", at_least(1), choices=(5, 10, 50, 100))
    dropout: float = setting(0.0, "dropout on the prompts", RATE, choices=(0.0, 0.1))

    info: ClassVar[MethodInfo] = MethodInfo(
        name="vpt_shallow",
        title="VPT-shallow",
        paper=PAPER,
        url=URL,
        roles=(Role.PROMPT,),
        identity_at_init=False,
        identity_note="random prompts take part in every attention from the start",
    )

    def inject(self, backbone: HasSites) -> None:
        """Put the prompts in front of the token stream."""
        limit = _init_limit(backbone)
        for site in find_sites(backbone, Role.PROMPT):
            prompts = Prompts(self.n_prompts, site.width, limit, self.dropout)
            surgery.wrap(site, partial(PromptEntry, prompts))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return prompts * width of the first stage."""
        return self.n_prompts * sum(site.width for site in find_sites(backbone, Role.PROMPT))


@dataclass(frozen=True)
class VptDeep(Method):
    """Every block gets prompts of its own; what becomes of them is dropped after the block."""

    n_prompts: int = setting(
        10, "number of prompt tokens of every block", at_least(1), choices=(5, 10, 50, 100)
    )
    dropout: float = setting(0.0, "dropout on the prompts", RATE, choices=(0.0, 0.1))

    info: ClassVar[MethodInfo] = MethodInfo(
        name="vpt_deep",
        title="VPT-deep",
        paper=PAPER,
        url=URL,
        roles=(Role.BLOCK,),
        identity_at_init=False,
        identity_note="random prompts take part in every attention from the start",
    )

    def inject(self, backbone: HasSites) -> None:
        """Put prompts in front of the tokens of every block."""
        limit = _init_limit(backbone)
        for site in find_sites(backbone, Role.BLOCK):
            prompts = Prompts(self.n_prompts, site.width, limit, self.dropout)
            surgery.wrap(site, partial(PromptedBlock, prompts))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return prompts * width, summed over the blocks."""
        return self.n_prompts * sum(site.width for site in find_sites(backbone, Role.BLOCK))


class Prompts(nn.Module):
    """P learnt tokens of width E, put in front of a sequence."""

    def __init__(self, n_prompts: int, width: int, limit: float, dropout: float) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(1, n_prompts, width).uniform_(-limit, limit))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B*D, N, E) to (B*D, P+N, E)."""
        return torch.cat([self.dropout(self.tokens.expand(x.shape[0], -1, -1)), x], dim=1)


class PromptEntry(nn.Module):
    """The prompts enter and stay."""

    def __init__(self, prompts: Prompts, inner: nn.Module) -> None:
        super().__init__()
        self.prompts, self.inner = prompts, inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B*D, N, E) to (B*D, P+N, E)."""
        y: torch.Tensor = self.prompts(self.inner(x))
        return y


class PromptedBlock(nn.Module):
    """The prompts take part in one block and are cut off behind it."""

    def __init__(self, prompts: Prompts, block: nn.Module) -> None:
        super().__init__()
        self.prompts, self.block = prompts, block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B*D, N, E) to the same shape."""
        y: torch.Tensor = self.block(self.prompts(x))
        return y[:, self.prompts.tokens.shape[1] :]


def _init_limit(backbone: HasSites) -> float:
    return math.sqrt(6 / (3 * backbone.patch_size**2 + backbone.width))
