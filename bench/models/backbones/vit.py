"""Vision Transformer backbones, put together from timm's modules.

Reference: Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021, arXiv 2010.11929.
Class, distillation and register tokens of the pre-training run in front of the patch tokens through
all blocks, for every patch token attends to them; no tap holds them. The blocks count as four equal
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
TOKENS = ("cls_token", "dist_token", "reg_token")  # timm's names, in the order of the sequence

VARIANTS = {  # under timm's names of the hyper-parameters
    "tiny_vit": {"embed_dim": 128, "depth": 6, "num_heads": 4},  # for CPUs
    "tiny_vit4": {"embed_dim": 128, "depth": 6, "num_heads": 4},
    "vit_ti16": {"embed_dim": 192, "depth": 12, "num_heads": 3, "class_token": True},
    "vit_s16": {"embed_dim": 384, "depth": 12, "num_heads": 6, "class_token": True},
    "vit_b16": {"embed_dim": 768, "depth": 12, "num_heads": 12, "class_token": True},
}


class ViTBackbone(Backbone):
    """A timm `VisionTransformer` as slices -> four maps of one scale."""

    paper_parts = ("pos_embed", "norm")

    def __init__(self, name: str, vit: Any) -> None:
        patch_size = vit.patch_embed.patch_size[0]
        width = vit.embed_dim
        super().__init__(name, patch_size, width, vit.patch_embed.img_size)
        self.patch_embed = vit.patch_embed
        for token in TOKENS:
            self.register_parameter(token, getattr(vit, token, None))
        # both are read by timm's `checkpoint_filter_fn`
        self.num_prefix_tokens = vit.num_prefix_tokens
        self.no_embed_class = vit.no_embed_class  # such tokens have no position embedding
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

    def no_weight_decay(self) -> set[str]:
        return {"pos_embed"} | {name for name in TOKENS if getattr(self, name) is not None}

    def run(self, slices: torch.Tensor) -> list[torch.Tensor]:
        x = self.prompt(self.norm_pre(self.pos_drop(self._embed(slices))))  # (B*D, P+N, E)
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == self.taps[-1]:
                x = self.norm(x)
            if index in self.taps:
                maps.append(to_map(x, self.layout))
        return maps

    def drop_prefix_tokens(self) -> None:
        super().drop_prefix_tokens()
        if self.num_prefix_tokens and not self.no_embed_class:
            patches = self.pos_embed.detach()[:, self.num_prefix_tokens :]
            self.pos_embed = nn.Parameter(patches.clone())
        for token in TOKENS:
            self.register_parameter(token, None)
        self.num_prefix_tokens = 0

    def adapt_checkpoint(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if "register_tokens" in state:  # Meta's layout of DINOv2, which timm knows by the mask
            state = state | {"mask_token": torch.empty(0)}
        return checkpoint_filter_fn(state, self, adapt_layer_scale=True)

    def _embed(self, slices: torch.Tensor) -> torch.Tensor:
        """Return prefix and patch tokens with their positions, (B*D, P+N, E)."""
        x = self.patch_embed(slices)
        own = (getattr(self, name) for name in TOKENS)
        prefix = [token.expand(len(x), -1, -1) for token in own if token is not None]
        if self.no_embed_class:
            return torch.cat([*prefix, x + self.pos_embed], dim=1)
        return torch.cat([*prefix, x], dim=1) + self.pos_embed


def pick_taps(n_blocks: int) -> tuple[int, ...]:
    """Return the last blocks of the four equal stages: 2, 5, 8, 11 of 12; 1, 2, 4, 5 of 6."""
    return tuple(-(-n_blocks * (stage + 1) // N_TAPS) - 1 for stage in range(N_TAPS))


def build_vit(info: BackboneInfo, in_channels: int, image_size: tuple[int, int]) -> ViTBackbone:
    """Return the variant of `VARIANTS` with that name."""
    sizes = {"img_size": image_size, "patch_size": info.multiple_of, "in_chans": in_channels}
    options = {"class_token": False, **sizes, **VARIANTS[info.name], "num_classes": 0}
    return ViTBackbone(info.name, VisionTransformer(**options, global_pool=""))


def _rebuild(block: Any) -> Block:
    attn = Branch(block.norm1, block.attn, block.ls1, block.drop_path1)
    mlp = Branch(block.norm2, block.mlp, block.ls2, block.drop_path2)
    return Block(attn, mlp)
