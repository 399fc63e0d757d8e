"""timm's networks beside our backbones with the same weights, for a paper's equation written anew.

A test runs timm's blocks with the equation; taps and gradients are compared with the method's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer

from bench.models.backbones.base import Backbone
from bench.models.backbones.swin import SwinBackbone
from bench.models.backbones.vit import ViTBackbone
from bench.models.contract import CHANNELS
from methods import surgery
from methods.base import Method, apply

Step = Callable[[int, Any, torch.Tensor], torch.Tensor]  # block number, timm's block, its input


@dataclass(frozen=True)
class Pair:
    """A timm network and our backbone with the same float64 weights, and slices for both."""

    reference: Any
    backbone: Backbone
    slices: torch.Tensor  # (B*D, C, H, W)
    batch: int = 2
    depth: int = 5

    def apply(self, method: Method) -> None:
        """Put the method into our backbone and give all that it trains random values."""
        self.backbone.volume.depth = self.depth
        apply(method, self.backbone)
        self.backbone.double()
        generator = torch.Generator().manual_seed(3)
        for parameter in self.tuned():
            parameter.data = (
                torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3
            )

    def attend(self, block: Any, x: torch.Tensor) -> torch.Tensor:
        return self.attend_to(block, block.norm1(x))

    def tuned(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self.backbone.parameters() if parameter.requires_grad]

    def on_maps(
        self, x: torch.Tensor, function: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Apply a function of maps (B*D, E, h, w) to timm's tokens."""
        grid = x.reshape(10, 4, 6, -1) if x.ndim == 3 else x
        return function(grid.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)

    def on_volumes(
        self, x: torch.Tensor, function: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Apply a function of volumes (B, E, D, h, w) to timm's tokens."""

        def on_slices(maps: torch.Tensor) -> torch.Tensor:
            volume = maps.reshape(self.batch, self.depth, *maps.shape[1:]).transpose(1, 2)
            return function(volume).transpose(1, 2).flatten(0, 1)

        return self.on_maps(x, on_slices)

    def name_in_timm(self, name: str) -> str:
        """Return timm's name of a parameter of our backbone; a method's wrappers are left out."""
        for ours, theirs in OUR_NAMES.items():
            name = name.replace(ours, theirs)
        return name

    def put(self, name: str, tensor: torch.Tensor) -> None:
        """Replace a parameter of the reference by a tensor, gradients and all."""
        path, _, leaf = name.rpartition(".")
        module = self.reference.get_submodule(path)
        del module._parameters[leaf]
        setattr(module, leaf, tensor)

    def share(self) -> set[str]:
        """Let the reference use what trains in our backbone; return timm's names of it."""
        named = self.backbone.named_parameters()
        tuned = {
            self.name_in_timm(name): parameter
            for name, parameter in named
            if parameter.requires_grad
        }
        for name, parameter in tuned.items():
            self.put(name, parameter)
        return tuned.keys()

    def assert_equal(self, expected: list[torch.Tensor]) -> None:
        """Compare taps and the gradients of all that trains with those of the reference."""
        taps = self.backbone(self.slices, self.batch, self.depth)
        assert len(taps) == len(expected) == 4
        for ours, theirs in zip(taps, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
        gradients = [
            torch.autograd.grad(
                weigh(maps), self.tuned(), allow_unused=True, materialize_grads=True
            )
            for maps in (taps, expected)
        ]
        assert sum(gradient.abs().max() > 1e-4 for gradient in gradients[0]) > 0.9 * len(
            gradients[0]
        )
        for ours, theirs in zip(*gradients, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)
        self.assert_merged_equal(expected)

    @torch.no_grad()
    def assert_merged_equal(self, expected: list[torch.Tensor]) -> None:
        """Compare the taps again with all in the frozen weights that can be merged."""
        surgery.merge(self.backbone)
        taps = self.backbone(self.slices, self.batch, self.depth)
        for ours, theirs in zip(taps, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)
        surgery.unmerge(self.backbone)


def shake(network: torch.nn.Module) -> None:
    """Move biases, norms and position biases off their starts: zeros and ones hide mistakes."""
    for name, parameter in network.named_parameters():
        if "position" in name:
            parameter.data.normal_()
        elif parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn(parameter.shape, dtype=torch.float64)


OUR_NAMES = {
    "attn_branch.norm": "norm1",
    "attn_branch.inner": "attn",
    "mlp_branch.norm": "norm2",
    "mlp_branch.inner": "mlp",
    "merging.": "downsample.",
    "stages.": "layers.",
    ".inner.": ".",
    ".base.": ".",
}


def weigh(maps: list[torch.Tensor]) -> torch.Tensor:
    """Return a number that depends on every value of every map in its own way."""
    generator = torch.Generator().manual_seed(2)
    return sum((torch.randn(x.shape, generator=generator, dtype=x.dtype) * x).sum() for x in maps)


class ViTPair(Pair):
    """Eight blocks of width 48, so four stages of two; 4x6 patches; tokens are (B*D, N, E)."""

    def run(
        self, step: Step, start: Callable[[torch.Tensor], torch.Tensor] = lambda x: x
    ) -> list[torch.Tensor]:
        """Return the reference's taps, block by block, without tokens before the patches."""
        vit, taps = self.reference, []
        x = start(vit.patch_embed(self.slices) + vit.pos_embed)
        for index, block in enumerate(vit.blocks):
            x = step(index, block, x)
            if index % 2:
                tap = (vit.norm(x) if index == 7 else x)[:, -24:]
                taps.append(tap.transpose(1, 2).reshape(10, 48, 4, 6))
        return taps

    @staticmethod
    def attend_to(block: Any, z: torch.Tensor) -> torch.Tensor:
        return block.attn(z)


class SwinPair(Pair):
    """Stages of 2, 2, 1, 2 blocks, 16x8 to 2x1 patches, windows of 4x2; tokens (B*D, h, w, E)."""

    def run(
        self, step: Step, start: Callable[[torch.Tensor], torch.Tensor] = lambda x: x
    ) -> list[torch.Tensor]:
        """Run the reference block by block and return its taps."""
        swin, taps, index = self.reference, [], 0
        x = start(swin.patch_embed(self.slices))
        for number, stage in enumerate(swin.layers):
            x = stage.downsample(x)
            for block in stage.blocks:
                x = step(index, block, x)
                index += 1
            taps.append((swin.norm(x) if number == 3 else x).permute(0, 3, 1, 2))
        return taps

    @staticmethod
    def attend_to(block: Any, z: torch.Tensor) -> torch.Tensor:
        return block._attn(z)


def make_vit_pair() -> ViTPair:
    """Return a pair with random weights, in which no bias and no norm is at its start."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vit = VisionTransformer(
            img_size=(32, 48),
            patch_size=8,
            in_chans=CHANNELS,
            num_classes=0,
            global_pool="",
            class_token=False,
            embed_dim=48,
            depth=8,
            num_heads=4,
        ).double()
        shake(vit)
        return ViTPair(
            vit, ViTBackbone("vit", copy.deepcopy(vit)), torch.randn(10, CHANNELS, 32, 48).double()
        )


def make_swin_pair() -> SwinPair:
    """Return a pair as `make_vit_pair` does."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        swin = SwinTransformer(
            img_size=(64, 32),
            in_chans=CHANNELS,
            num_classes=0,
            embed_dim=12,
            depths=(2, 2, 1, 2),
            num_heads=(1, 2, 3, 4),
            window_size=(4, 2),
            drop_path_rate=0.0,
        ).double()
        shake(swin)
        return SwinPair(
            swin,
            SwinBackbone("swin", copy.deepcopy(swin)),
            torch.randn(10, CHANNELS, 64, 32).double(),
        )
