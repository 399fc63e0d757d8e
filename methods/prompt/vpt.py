"""Visual prompt tuning: learnt tokens in front of the patch tokens.

Reference: Jia et al., Visual Prompt Tuning, ECCV 2022, arXiv 2203.12119, equations 4-8.

    shallow:  [.., x_1] = block_1([p, x_0]),  [.., x_i] = block_i([.., x_(i-1)])  p travels along
    deep:     [ _, x_i] = block_i([p_(i-1), x_(i-1)])                            new p per block

Prompts start uniform in (-v, v), v^2 = 6 / (3 * patch^2 + E), with E of the first stage for all
stages, and get no position embedding. In a windowed backbone every window sees all prompts, and
their outputs are averaged over the windows of the same image. Prompts are cut off before the
decoder.

Our choices: ten prompts by default (the authors' default is 5, searched in 1 to 200). They stand in
front of the class token, there behind it; attention is the same for both. Where prompts travel
through windows, the authors' code mixes those of different images of a batch; ours does not.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import nn

from methods import surgery
from methods.base import Family, Method, MethodInfo, find_sites
from methods.settings import RATE, at_least, setting
from methods.sites import HasSites, Role, Site
from methods.wrappers import Before

INFO = partial(
    MethodInfo,
    paper="Jia et al., Visual Prompt Tuning, ECCV 2022",
    url="https://arxiv.org/abs/2203.12119",
    identity_at_init=False,
    identity_note="random prompts take part in every attention from the start",
    family=Family.PROMPT,
    year=2022,
)


@dataclass(frozen=True)
class VptShallow(Method):
    """Prompts enter before the first block and travel through all of them.

    With ``blocks`` they enter before the first of those and are cut off behind the last one.
    """

    n_prompts: int = setting(10, "number of prompt tokens", at_least(1), (5, 10, 50, 100))
    dropout: float = setting(0.0, "dropout on the prompts", RATE, (0.0, 0.1))

    info: ClassVar[MethodInfo] = INFO("vpt_shallow", "VPT-shallow", roles=(Role.PROMPT,))

    def inject(self, backbone: HasSites) -> None:
        first, last = self._find_way(backbone)
        prompts = Prompts(self.n_prompts, first.width, _limit(backbone), self.dropout)
        if first.role is Role.PROMPT:
            surgery.replace(first, PromptEntry(prompts, first.module))
        else:
            surgery.replace(first, Before(prompts, first.module))
        if last is not None:
            surgery.replace(last, PromptExit(self.n_prompts, last.module))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return prompts * width of the first stage, or of the first of ``blocks``."""
        return self.n_prompts * self._find_way(backbone)[0].width

    def _find_way(self, backbone: HasSites) -> tuple[Site, Site | None]:
        """Return where prompts enter and leave, None: not before the decoder.

        Raises: ValueError if the chosen blocks have gaps.
        """
        blocks = find_sites(backbone, Role.BLOCK)
        numbers = sorted(self.choose_blocks(backbone))
        first, last = numbers[0], numbers[-1]
        if len(numbers) <= last - first:
            rule = "blocks must follow one another, for prompts travel through them"
            raise ValueError(f"vpt_shallow: {rule}, got {self.blocks}")
        entry = blocks[first] if first else find_sites(backbone, Role.PROMPT)[0]
        return entry, blocks[last] if last + 1 < len(blocks) else None


@dataclass(frozen=True)
class VptDeep(Method):
    """Every block gets prompts of its own; their outputs are dropped after the block."""

    n_prompts: int = setting(
        10, "number of prompt tokens of every block", at_least(1), (5, 10, 50, 100)
    )
    dropout: float = setting(0.0, "dropout on the prompts", RATE, (0.0, 0.1))

    info: ClassVar[MethodInfo] = INFO("vpt_deep", "VPT-deep", roles=(Role.BLOCK,))

    def inject(self, backbone: HasSites) -> None:
        for site in self.find_sites(backbone, Role.BLOCK):
            prompts = Prompts(self.n_prompts, site.width, _limit(backbone), self.dropout)
            surgery.replace(site, PromptedBlock(prompts, site.module))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return prompts * width, summed over the blocks."""
        return self.n_prompts * sum(site.width for site in self.find_sites(backbone, Role.BLOCK))


class Prompts(nn.Module):
    """P learnt tokens of width E: maps a sequence (B*D, N, E) to (B*D, P+N, E)."""

    def __init__(self, n_prompts: int, width: int, limit: float, dropout: float) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(1, n_prompts, width).uniform_(-limit, limit))
        self.dropout = nn.Dropout(dropout)

    def no_weight_decay(self) -> set[str]:
        return {"tokens"}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.dropout(self.tokens.expand(x.shape[0], -1, -1)), x], dim=1)


class PromptEntry(nn.Module):
    """The prompts enter and stay: (B*D, N, E) to (B*D, P+N, E)."""

    def __init__(self, prompts: Prompts, inner: nn.Module) -> None:
        super().__init__()
        self.prompts = prompts
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.prompts(self.inner(x))


class PromptExit(nn.Module):
    """The first P tokens are cut off behind a block: (B*D, P+N, E) to (B*D, N, E)."""

    def __init__(self, n_prompts: int, inner: nn.Module) -> None:
        super().__init__()
        self.n_prompts = n_prompts
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)[:, self.n_prompts :]


class PromptedBlock(nn.Module):
    """The prompts take part in one block and are cut off behind it: (B*D, N, E) to the same."""

    def __init__(self, prompts: Prompts, block: nn.Module) -> None:
        super().__init__()
        self.prompts = prompts
        self.block = block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(self.prompts(x))[:, self.prompts.tokens.shape[1] :]


def _limit(backbone: HasSites) -> float:
    return math.sqrt(6 / (3 * backbone.patch_size**2 + backbone.width))
