"""Swin Transformer backbones, put together from timm's modules; tokens are one sequence per slice.

Reference: Liu et al., Swin Transformer, ICCV 2021, arXiv 2103.14030.
Prompts in front of the patch tokens follow Jia et al., Visual Prompt Tuning, ECCV 2022, section 3.2
and appendix: every window of a slice attends to all prompts of that slice without position bias and
mask, their outputs are averaged over the windows, and a merging of four patches takes every prompt
four times. Windows keep their share of the grid at every input size: 7 of 56 patches, or 4 of 32.
"""

import warnings
from dataclasses import asdict, dataclass
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

import torch
from timm.models.swin_transformer import SwinTransformer, checkpoint_filter_fn
from torch import nn
from torch.nn import functional as F

from bench.models.backbones.base import Backbone, Block, Branch, list_sites, to_map
from bench.models.backbones.info import BackboneInfo
from methods.sites import TokenLayout, WindowLayout

PATCH_SIZE = 4


@dataclass(frozen=True)
class SwinShape:
    """The hyper-parameters of one variant, under timm's names but for the windows."""

    embed_dim: int
    depths: tuple[int, ...]  # blocks of each stage
    num_heads: tuple[int, ...]
    windows_per_side: int = 8  # of the first stage's grid
    drop_path_rate: float = 0.1


VARIANTS = {
    "tiny_swin": SwinShape(24, (2, 2, 2, 2), (1, 2, 4, 8), windows_per_side=4, drop_path_rate=0.0),
    "swin_tiny": SwinShape(96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "swin_t_unet": SwinShape(96, (2, 2, 2, 2), (3, 6, 12, 24)),
}


class SwinBackbone(Backbone):
    """A timm `SwinTransformer` as slices -> four maps, each half as fine and twice as wide."""

    stages: Any  # a list of `Stage`

    def __init__(self, name: str, swin: Any) -> None:
        super().__init__(name, PATCH_SIZE, swin.embed_dim, swin.patch_embed.img_size)
        self.patch_embed = swin.patch_embed
        self.norm = swin.norm
        self.prompt = nn.Identity()
        layouts = [TokenLayout(self.volume, 2**stage) for stage in range(len(swin.layers))]
        self.stages = nn.ModuleList(map(Stage, swin.layers, layouts))
        self.tap_channels = tuple(info["num_chs"] for info in swin.feature_info)
        self.tap_strides = tuple(info["reduction"] for info in swin.feature_info)
        lists = [stage.blocks for stage in self.stages]
        ends = [end - 1 for end in accumulate(map(len, lists))]
        mergings = [stage.merging for stage in self.stages]
        self.sites = list_sites(self, lists, layouts, ends, mergings)

    def run(self, slices: torch.Tensor) -> list[torch.Tensor]:
        x = self.prompt(self.patch_embed(slices).flatten(1, 2))  # (B*D, P+N, E)
        *_, last = self.stages
        maps = []
        for stage in self.stages:
            entering = stage.merging(x)
            x = stage(entering)
            if stage is last:
                maps.append(to_map(self.norm(x), stage.layout))
            else:
                maps.append(to_map(entering if self.taps_stage_inputs else x, stage.layout))
        return maps

    def adapt_checkpoint(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        def get_submodule(name: str) -> nn.Module:  # by timm's name of an attention
            own = name.replace("layers.", "stages.").replace(".attn", ".attn_branch.inner")
            try:
                return self.get_submodule(own)
            except AttributeError:
                raise AttributeError(f"it has no {name}") from None

        view = SimpleNamespace(patch_embed=self.patch_embed, get_submodule=get_submodule)
        with warnings.catch_warnings():  # of torch, about the style of timm's interpolation
            warnings.filterwarnings("ignore", module=r"timm\.layers\.interpolate")
            return checkpoint_filter_fn(state, view)


class Stage(nn.Module):
    """Blocks on tokens (B*D, P+N, E); ``merging`` makes them, (B*D, P+4N, E/2), but for the first.

    The backbone calls the merging, because a decoder may read what enters the blocks.
    """

    def __init__(self, layer: Any, layout: TokenLayout) -> None:
        super().__init__()
        self.layout = layout
        self.merging: nn.Module = nn.Identity()
        if layout.downsample > 1:
            finer = TokenLayout(layout.volume, layout.downsample // 2)
            self.merging = Merging(layer.downsample, finer)
        self.blocks = nn.ModuleList(_rebuild(block, layout) for block in layer.blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Merging(nn.Module):
    """Four neighbouring patches, or a prompt four times, (B*D, P+4N, E), to (B*D, P+N, 2E)."""

    def __init__(self, downsample: Any, layout: TokenLayout) -> None:
        super().__init__()
        self.norm = downsample.norm
        self.reduction = downsample.reduction
        self.layout = layout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        prompts, patches = self.layout.split(x)
        height, width = self.layout.grid
        quads = patches.reshape(x.shape[0], height // 2, 2, width // 2, 2, x.shape[2])
        quads = quads.permute(0, 1, 3, 4, 2, 5).flatten(3).flatten(1, 2)  # (B*D, N, 4E)
        return self.reduction(self.norm(torch.cat([prompts.repeat(1, 1, 4), quads], dim=1)))


class WindowAttention(nn.Module):
    """Self-attention of tokens (B*D, P+N, E) in (shifted) windows, with all prompts of a slice."""

    bias_index: torch.Tensor
    mask: torch.Tensor | None  # (W, area, area): 0 or -100

    def __init__(self, block: Any, layout: TokenLayout) -> None:
        super().__init__()
        attn = block.attn
        self.qkv = attn.qkv
        self.proj = attn.proj
        self.attn_drop = attn.attn_drop
        self.proj_drop = attn.proj_drop
        self.relative_position_bias_table = attn.relative_position_bias_table
        self.register_buffer("bias_index", attn.relative_position_index, persistent=False)
        self.register_buffer("mask", block.attn_mask, persistent=False)
        self.num_heads = attn.num_heads
        self.scale = attn.scale
        self.window_size = block.window_size
        self.shift = block.shift_size
        self.layout = layout
        self.window_layout = WindowLayout(layout.volume, layout.downsample, block.window_size)

    def no_weight_decay(self) -> set[str]:
        return {"relative_position_bias_table"}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        prompts, patches = self.layout.split(x)
        n_prompts = prompts.shape[1]
        windows = self._partition(patches)  # (B*D, W, area, E)
        if not n_prompts:
            return self._reverse(self._attend(windows))
        shared = prompts[:, None].expand(-1, windows.shape[1], -1, -1)
        y = self._attend(torch.cat([shared, windows], dim=2))
        patches = self._reverse(y[:, :, n_prompts:])
        return torch.cat([y[:, :, :n_prompts].mean(dim=1), patches], dim=1)

    def _attend(self, windows: torch.Tensor) -> torch.Tensor:
        """Map (B*D, W, P+area, E) to the same shape."""
        n_slices, n_windows, n_tokens, width = windows.shape
        qkv = self.qkv(windows.flatten(0, 1))
        qkv = qkv.reshape(n_slices * n_windows, n_tokens, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attention = (q * self.scale) @ k.transpose(-2, -1) + self._position_bias(n_tokens)
        if self.mask is not None:
            mask = _pad_front(self.mask, n_tokens)[:, None]  # (W, 1, tokens, tokens)
            attention = attention.reshape(n_slices, n_windows, *attention.shape[1:]) + mask
            attention = attention.flatten(0, 1)
        attention = self.attn_drop(attention.softmax(dim=-1))
        y = self.proj((attention @ v).transpose(1, 2).reshape(-1, n_tokens, width))
        return self.proj_drop(y).reshape(windows.shape)

    def _position_bias(self, n_tokens: int) -> torch.Tensor:  # (heads, tokens, tokens)
        bias = self.relative_position_bias_table[self.bias_index.flatten()]  # (area * area, heads)
        bias = bias.reshape(*self.bias_index.shape, self.num_heads).permute(2, 0, 1)
        return _pad_front(bias, n_tokens)

    def _partition(self, patches: torch.Tensor) -> torch.Tensor:
        """Cut (B*D, N, E) into (B*D, W, area, E)."""
        (rows, columns), (height, width) = self.window_size, self.layout.grid
        x = patches.reshape(-1, height, width, patches.shape[-1])
        if any(self.shift):
            x = x.roll((-self.shift[0], -self.shift[1]), dims=(1, 2))
        x = x.reshape(-1, height // rows, rows, width // columns, columns, x.shape[-1])
        return x.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)

    def _reverse(self, windows: torch.Tensor) -> torch.Tensor:
        (rows, columns), (height, width) = self.window_size, self.layout.grid
        x = windows.reshape(-1, height // rows, width // columns, rows, columns, windows.shape[-1])
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, windows.shape[-1])
        if any(self.shift):
            x = x.roll(self.shift, dims=(1, 2))
        return x.flatten(1, 2)


def build_swin(info: BackboneInfo, in_channels: int, image_size: tuple[int, int]) -> SwinBackbone:
    """Return the variant of `VARIANTS` with that name."""
    shape = asdict(VARIANTS[info.name])
    unit = PATCH_SIZE * shape.pop("windows_per_side")
    window = (image_size[0] // unit, image_size[1] // unit)
    sizes = {"img_size": image_size, "patch_size": PATCH_SIZE, "in_chans": in_channels}
    swin = SwinTransformer(**sizes, **shape, window_size=window, num_classes=0)
    return SwinBackbone(info.name, swin)


def _rebuild(block: Any, layout: TokenLayout) -> Block:
    attn = Branch(block.norm1, WindowAttention(block, layout), nn.Identity(), block.drop_path1)
    mlp = Branch(block.norm2, block.mlp, nn.Identity(), block.drop_path2)
    return Block(attn, mlp)


def _pad_front(square: torch.Tensor, size: int) -> torch.Tensor:
    """Pad (..., n, n) at the front to (..., size, size): prompts have no position and no mask."""
    missing = size - square.shape[-1]
    return F.pad(square, (missing, 0, missing, 0)) if missing else square
