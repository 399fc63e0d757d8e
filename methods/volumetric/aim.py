"""AIM: the frozen attention runs a second time, along the slices, with adapters around.

Reference: Yang et al., AIM: Adapting Image Models for Efficient Video Action Recognition, ICLR
2023, arXiv 2302.03024, section 3.

    x = x + A_t(attention_depth(LN(x)))          A(h) = W_up GELU(W_down h + b_down) + b_up
    x = x + h + A_s(h),                          h = attention(LN(x))
    x = x + MLP(LN(x)) + s * A_m(LN(x))

attention_depth has the weights of the same attention and LN is the same norm; a token sees those
at its place in the other slices. A learnt embedding of the depth, zero at first, is added to all
tokens in front of the blocks, and the final norm trains. W_up and its bias start at zero, W_down
at N(0, 0.02^2): the identity. The hidden width is E // 4.

Our choices: frames of a video are the slices of a volume; class and register tokens attend along
depth as well, as in the authors' code. In a pyramid of windows, as in the authors' Swin, every
second block has the attention along depth; their table of random, frozen position biases is left
out.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.settings import above, at_least, setting
from methods.sites import HasSites, Role, Site, is_pyramid
from methods.volumetric.depth import along_depth, along_slices, find_hidden
from methods.wrappers import BeforeResidual, Behind, Beside


@dataclass(frozen=True)
class Aim(Method):
    """Attention along depth, and adapters."""

    ratio: int = setting(
        4, "token width divided by the adapters' hidden width", at_least(1), (4, 8, 16)
    )
    scale: float = setting(0.5, "factor of the adapter beside the MLP", above(0), (0.5, 1.0))
    embedding: bool = setting(True, "a learnt embedding of the depth")
    final_norm: bool = setting(True, "train the final norm")

    info: ClassVar[MethodInfo] = MethodInfo(
        "aim",
        "AIM",
        "Yang et al., AIM: Adapting Image Models for Efficient Video Action Recognition, ICLR 2023",
        "https://arxiv.org/abs/2302.03024",
        roles=(Role.ATTN_BRANCH, Role.ATTN, Role.MLP, Role.NORM1, Role.QKV, Role.PROJ),
        identity_at_init=True,
        identity_note="W_up and its bias of every adapter start at zero, the embedding as well",
        tunes_backbone=True,
        family=Family.VOLUMETRIC,
        year=2023,
    )

    @property
    def tunes_backbone(self) -> bool:
        return self.final_norm

    def late_gradient(self) -> dict[str, str]:
        return {"*.adapter.down.*": "W_up, which follows, starts at zero"}

    def inject(self, backbone: HasSites) -> None:
        """Raises: ValueError if a patch's depth is unknown, or the hidden width vanishes."""
        for site in self.find_sites(backbone, Role.MLP):
            beside = MlpAdapter(site.width, self._narrow(site), self.scale)
            surgery.replace(site, Beside(beside, site.module))
        roles = (Role.NORM1, Role.QKV, Role.PROJ)
        sites = {(site.index, site.role): site for site in self.find_sites(backbone, *roles)}
        for site in self._list_deep(backbone):
            norm, qkv, proj = (sites[site.index, role] for role in roles)
            deep = DepthAttention((norm, qkv, proj), self._narrow(site))
            surgery.replace(site, BeforeResidual(deep, site.module))
        for site in self.find_sites(backbone, Role.ATTN):
            surgery.replace(site, Behind(SkipAdapter(site.width, self._narrow(site)), site.module))
        for site in self._find_ends(backbone, Role.PROMPT, present=self.embedding):
            embedding = DepthEmbedding(site, backbone.volume.depth)
            surgery.replace(site, Behind(embedding, site.module))
        for site in self._find_ends(backbone, Role.FINAL_NORM, present=self.final_norm):
            surgery.thaw(site.module.parameters())

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 3 (2 E h + h + E) a block, h = E // ratio, or two thirds of it in a block without
        attention along depth; D E for the embedding of D slices, and 2 E for the final norm.
        """
        adapters = [*self._list_deep(backbone), *self.find_sites(backbone, Role.ATTN, Role.MLP)]
        total = 0
        for site in adapters:
            total += 2 * site.width * self._narrow(site) + self._narrow(site) + site.width
        for site in self._find_ends(backbone, Role.PROMPT, present=self.embedding):
            total += site.width * backbone.volume.depth
        for site in self._find_ends(backbone, Role.FINAL_NORM, present=self.final_norm):
            total += 2 * site.width
        return total

    def _narrow(self, site: Site) -> int:
        return find_hidden("aim", site, self.ratio)

    def _find_ends(self, backbone: HasSites, role: Role, *, present: bool) -> list[Site]:
        return self.find_sites(backbone, role) if present else []

    def _list_deep(self, backbone: HasSites) -> list[Site]:
        """Return the attention branches that get a second attention."""
        sites = self.find_sites(backbone, Role.ATTN_BRANCH)
        first_of: dict[int, int] = {}  # stage -> its first block
        for site in backbone.sites:
            if site.role is Role.ATTN_BRANCH:
                first_of.setdefault(site.stage, site.index)
        every = 2 if is_pyramid(backbone) else 1
        return [site for site in sites if (site.index - first_of[site.stage]) % every == 0]


class Bottleneck(nn.Module):
    """W_up GELU(W_down h + b_down) + b_up on tokens (..., E); starts as zero."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, hidden)
        self.up = nn.Linear(hidden, width)
        nn.init.trunc_normal_(self.down.weight, std=0.02)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return self.up(F.gelu(self.down(h)))


class SkipAdapter(Bottleneck):
    """h + A_s(h)."""

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return h + super().forward(h)


class MlpAdapter(Bottleneck):
    """s * A_m(h)."""

    def __init__(self, width: int, hidden: int, scale: float) -> None:
        super().__init__(width, hidden)
        self.scale = scale

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return self.scale * super().forward(h)


class DepthAttention(Bottleneck):
    """A_t(attention_depth(LN(x))) of tokens (B*D, P+N, E); ``sites`` are norm, qkv and proj."""

    def __init__(self, sites: tuple[Site, Site, Site], hidden: int) -> None:
        super().__init__(sites[0].width, hidden)
        self.sites = sites  # the frozen modules belong to the backbone, not to this one

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        norm, qkv, proj = self.sites
        z = along_depth(norm.module(x), norm.layout)  # (B*(P+N), D, E)
        parts = qkv.module(z).unflatten(-1, (3, qkv.n_heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(*parts.unbind(0))  # (.., heads, D, E / heads)
        y = proj.module(y.transpose(1, 2).flatten(2))
        return super().forward(along_slices(y, norm.layout))


class DepthEmbedding(nn.Module):
    """Add an embedding of the slice to all tokens (B*D, P+N, E)."""

    def __init__(self, site: Site, depth: int) -> None:
        super().__init__()
        if depth < 1:
            rule = "the backbone's volume.depth must be set before injection"
            raise ValueError(f"aim: {rule}, got {depth}")
        self.layout = site.layout
        self.slices = nn.Parameter(torch.zeros(1, depth, site.width))

    def no_weight_decay(self) -> set[str]:
        return {"slices"}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        volume, depth = self.layout.volume, self.slices.shape[1]
        if volume.depth != depth:
            hint = "one embedding per slice: give patches of the training depth"
            raise ValueError(f"aim: depth must be {depth}, got {volume.depth} ({hint})")
        embedding = self.slices.expand(volume.batch, -1, -1).flatten(0, 1)[:, None]
        return x + embedding
