"""Vision Transformer backbones, put together from timm's modules.

Reference: Dosovitskiy et al., An Image is Worth 16x16 Words: Transformers for Image Recognition at
Scale, ICLR 2021.

There is no class token: nothing reads it in dense prediction. A plain ViT has no stages: its blocks
are counted as four equal ones, and the output of the last block of each is a tap (Med-Tuning: after
blocks 2, 5, 8, 11 of 12), the last one normalised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import nn

from bench.models.backbones.base import Backbone, Block, Branch, list_sites, to_map
from bench.models.backbones.info import BackboneInfo
from methods.sites import TokenLayout

N_TAPS = 4


@dataclass(frozen=True)
class ViTShape:
    """The hyper-parameters of one variant."""

    patch_size: int
    width: int
    n_blocks: int
    heads: int


VARIANTS = {
    "tiny_vit": ViTShape(patch_size=8, width=128, n_blocks=6, heads=4),  # for CPUs
    "tiny_vit4": ViTShape(patch_size=4, width=128, n_blocks=6, heads=4),  # four times the tokens
    "vit_ti16": ViTShape(patch_size=16, width=192, n_blocks=12, heads=3),
    "vit_s16": ViTShape(patch_size=16, width=384, n_blocks=12, heads=6),
    "vit_b16": ViTShape(patch_size=16, width=768, n_blocks=12, heads=12),
}


class ViTBackbone(Backbone):
    """A timm `VisionTransformer` without class token, as slices -> four maps of one scale."""

    paper_parts = ("pos_embed", "norm")
    num_prefix_tokens = 0  # read by timm's `checkpoint_filter_fn`

    def __init__(self, name: str, vit: Any) -> None:
        patch_size = vit.patch_embed.patch_size[0]
        width = vit.embed_dim
        super().__init__(name, patch_size, width, vit.patch_embed.img_size)
        self.patch_embed = vit.patch_embed
        self.pos_embed = vit.pos_embed
        self.pos_drop = vit.pos_drop
        self.norm_pre = vit.norm_pre
        self.norm = vit.norm
        self.prompt = nn.Identity()
        self.blocks = nn.ModuleList(_rebuild(block) for block in vit.blocks)
        self.layout = TokenLayout(self.volume)
        self.taps = pick_taps(len(self.blocks))
        self.tap_channels = (width,) * N_TAPS
        self.tap_strides = (patch_size,) * N_TAPS
        self.sites = list_sites(self, [self.blocks], [self.layout], self.taps)

    def run(self, slices: torch.Tensor) -> list[torch.Tensor]:
        x = self.norm_pre(self.pos_drop(self.patch_embed(slices) + self.pos_embed))  # (B*D, N, E)
        x = self.prompt(x)  # (B*D, P+N, E)
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == self.taps[-1]:
                x = self.norm(x)
            if index in self.taps:
                maps.append(to_map(x, self.layout))
        return maps

    def adapt_checkpoint(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return checkpoint_filter_fn(state, self, adapt_layer_scale=True)


def pick_taps(n_blocks: int) -> tuple[int, ...]:
    """Return the last blocks of the four equal stages: 2, 5, 8, 11 of 12; 1, 2, 4, 5 of 6."""
    return tuple(-(-n_blocks * (stage + 1) // N_TAPS) - 1 for stage in range(N_TAPS))


def build_vit(info: BackboneInfo, in_channels: int, image_size: tuple[int, int]) -> ViTBackbone:
    """Return the variant of `VARIANTS` with that name."""
    shape = VARIANTS[info.name]
    vit = VisionTransformer(
        img_size=image_size,
        patch_size=shape.patch_size,
        in_chans=in_channels,
        num_classes=0,
        global_pool="",
        class_token=False,
        embed_dim=shape.width,
        depth=shape.n_blocks,
        num_heads=shape.heads,
    )
    return ViTBackbone(info.name, vit)


def _rebuild(block: Any) -> Block:
    attn = Branch(block.norm1, block.attn, block.ls1, block.drop_path1)
    mlp = Branch(block.norm2, block.mlp, block.ls2, block.drop_path2)
    return Block(attn, mlp)
