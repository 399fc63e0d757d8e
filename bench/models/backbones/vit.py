"""Vision Transformer backbones, put together from timm's modules.

Reference: Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021, arXiv 2010.11929.
There is no class token: nothing reads it in dense prediction. The blocks count as four equal
stages; the output of each stage's last block is a tap (as in Med-Tuning), the last one normalised.
"""

from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import nn

from bench.models.backbones.base import Backbone, Block, Branch, list_sites, to_map
from bench.models.backbones.info import BackboneInfo
from methods.sites import TokenLayout

N_TAPS = 4

VARIANTS = {  # under timm's names of the hyper-parameters
    "tiny_vit": {"embed_dim": 128, "depth": 6, "num_heads": 4},  # for CPUs
    "tiny_vit4": {"embed_dim": 128, "depth": 6, "num_heads": 4},
    "vit_ti16": {"embed_dim": 192, "depth": 12, "num_heads": 3},
    "vit_s16": {"embed_dim": 384, "depth": 12, "num_heads": 6},
    "vit_b16": {"embed_dim": 768, "depth": 12, "num_heads": 12},
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
    sizes = {"img_size": image_size, "patch_size": info.multiple_of, "in_chans": in_channels}
    options = {**sizes, **VARIANTS[info.name], "num_classes": 0}
    return ViTBackbone(info.name, VisionTransformer(**options, global_pool="", class_token=False))


def _rebuild(block: Any) -> Block:
    attn = Branch(block.norm1, block.attn, block.ls1, block.drop_path1)
    mlp = Branch(block.norm2, block.mlp, block.ls2, block.drop_path2)
    return Block(attn, mlp)
