"""Swin U-Net: the encoder's mirror image, with skips.

Reference: Cao et al., Swin-Unet: Unet-like Pure Transformer for Medical Image Segmentation, ECCV
Workshops 2022, arXiv 2105.05537, section 3; in the sizes of Med-Tuning (Shen et al., MIDL 2024).

    y_4 = LN(what leaves stage 4)
    y_i = blocks_i(W_i concat(expand_2(y_(i+1)), s_i) + b_i)                     i = 3, 2, 1
    logits = W expand_4(LN(y_1))

expand_k is a linear layer without bias to k x k cells of C / 2 channels (of C for k = 4), which are
rearranged and normalised. Every up stage starts from a copy of the encoder's first two blocks of
its width, relative positions and drop path included.

Our choices: the skip s_i of ``swin_unet`` is what leaves stage i of the encoder, so that what is
tuned in the stage reaches it. In the code of Swin-Unet and of Med-Tuning it is what enters the
blocks of stage i: the embedded patches for i = 1, else what the merging gives.
``swin_unet_medtuning`` computes that, with the same parameters.
"""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from bench.models.backbones.base import Backbone
from bench.models.backbones.swin import Stage, SwinBackbone
from methods.executed import Executed

BLOCKS_PER_STAGE = 2  # one with plain and one with shifted windows


class SwinUNetDecoder(nn.Module):
    """Maps (B*D, E_i, h_i, w_i), fine to coarse, to logits; load the backbone's weights before."""

    def __init__(
        self, backbone: Backbone, n_classes: int, *, taps_stage_inputs: bool = False
    ) -> None:
        """Raises: ValueError if the backbone is no Swin Transformer."""
        super().__init__()
        self.taps_stage_inputs = taps_stage_inputs  # read by the segmenter
        if not isinstance(backbone, SwinBackbone):
            rule = "the backbone must be a Swin Transformer"
            raise ValueError(f"swin_unet: {rule}, got '{backbone.name}'")
        stages = [*backbone.stages][-2::-1]  # from coarse to fine, without the coarsest
        widths = backbone.tap_channels[-2::-1]
        self.stages = nn.ModuleList(map(UpStage, stages, widths))
        self.norm = nn.LayerNorm(backbone.width)
        self.head = Head(backbone.width, backbone.patch_size, n_classes)

    def forward(self, maps: Sequence[torch.Tensor], image_size: tuple[int, int]) -> torch.Tensor:
        *skips, coarsest = (x.permute(0, 2, 3, 1) for x in maps)  # (B*D, h, w, E)
        x = coarsest
        for stage, skip in zip(self.stages, reversed(skips), strict=True):
            x = stage(x, skip)
        return self.head(self.norm(x)).permute(0, 3, 1, 2)


class UpStage(nn.Module):
    """A doubling of the grid, the skip mixed in, then blocks."""

    def __init__(self, encoder_stage: Stage, width: int) -> None:
        super().__init__()
        self.expansion = Expansion(2 * width, width, factor=2)
        self.mix = _build_linear(2 * width, width, bias=True)
        volume = encoder_stage.layout.volume  # stays shared, for it tells the blocks the grid
        blocks = encoder_stage.blocks[:BLOCKS_PER_STAGE]
        self.blocks = nn.ModuleList(copy.deepcopy(block, {id(volume): volume}) for block in blocks)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Map (B*D, h/2, w/2, 2E) and the skip (B*D, h, w, E) to the shape of the skip."""
        y = self.mix(torch.cat([self.expansion(x), skip], dim=-1)).flatten(1, 2)
        for block in self.blocks:
            y = block(y)
        return y.reshape(skip.shape)


class Expansion(nn.Module):
    """Features (B*D, h, w, inputs) to (B*D, factor * h, factor * w, outputs)."""

    def __init__(self, n_inputs: int, n_outputs: int, *, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.expand = _build_linear(n_inputs, n_outputs * factor**2, bias=False)
        self.norm = nn.LayerNorm(n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n_slices, height, width, _ = x.shape
        factor = self.factor
        cells = self.expand(x).reshape(n_slices, height, width, factor, factor, -1)
        cells = cells.transpose(2, 3).reshape(n_slices, height * factor, width * factor, -1)
        return self.norm(cells)


class Head(Executed):
    """Full resolution, then the classes; at 128 voxels the features are 32 times a slice's size."""

    def __init__(self, width: int, patch_size: int, n_classes: int) -> None:
        super().__init__()
        self.expansion = Expansion(width, width, factor=patch_size)
        self.output = _build_linear(width, n_classes, bias=False)  # a 1x1 convolution

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B*D, h, w, E) to (B*D, H, W, K)."""
        return self.run_slices(lambda chunk: self.output(self.expansion(chunk)), x)


def build_swin_unet(backbone: Backbone, n_classes: int) -> SwinUNetDecoder:
    """Return the decoder whose skips are what leaves the encoder's stages."""
    return SwinUNetDecoder(backbone, n_classes)


def build_swin_unet_medtuning(backbone: Backbone, n_classes: int) -> SwinUNetDecoder:
    """Return the decoder whose skips are what enters the encoder's stages."""
    return SwinUNetDecoder(backbone, n_classes, taps_stage_inputs=True)


def _build_linear(n_inputs: int, n_outputs: int, *, bias: bool) -> nn.Linear:
    """Return a linear layer that starts as all of Swin's do."""
    layer = nn.Linear(n_inputs, n_outputs, bias=bias)
    nn.init.trunc_normal_(layer.weight, std=0.02)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
