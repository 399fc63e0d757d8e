"""The seam between methods and backbones: sites, roles and the shape of the volume.

A backbone publishes where something can be inserted (its *sites*) and what each place is (its
*role*); a method asks for roles and never learns which backbone it is in. Tokens travel as one
sequence per slice, (B*D, P+N, E): P prefix tokens in front (prompts, then the class and register
tokens of a ViT), then N = h*w patch tokens in row-major order. Positions are in the tokens, so the
order of the prefix tokens has no influence.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import torch
from torch import nn

from methods.selection import Selection


class Role(StrEnum):
    """What a site is; its module maps tokens to tokens unless said otherwise."""

    PROMPT = "prompt"  # where tokens may be put in front of the stream that enters the first stage
    BLOCK = "block"  # a whole transformer block
    ATTN_BRANCH = "attn_branch"  # norm1 -> attention; its output is added to the stream
    MLP_BRANCH = "mlp_branch"  # norm2 -> MLP; its output is added to the stream
    ATTN = "attn"  # attention alone, on normalised tokens
    MLP = "mlp"  # the MLP alone, on normalised tokens
    QKV = "qkv"  # Linear E -> 3E, rows ordered query, key, value
    PROJ = "proj"  # Linear E -> E, the attention's output projection
    FC1 = "fc1"
    FC2 = "fc2"
    NORM1 = "norm1"
    NORM2 = "norm2"
    PATCH_EMBED = "patch_embed"  # the convolution that makes tokens: (B*D, C, H, W) to maps
    PATCH_NORM = "patch_norm"  # in front of the first block, where there is one
    MERGE_NORM = "merge_norm"  # on four neighbouring tokens, (.., 4E), between two stages
    REDUCTION = "reduction"  # Linear 4E -> 2E, behind it
    FINAL_NORM = "final_norm"  # behind the last block


@dataclass
class VolumeShape:
    """The volume's shape in the current forward pass; backbone and methods share one object."""

    batch: int = 0
    depth: int = 0
    height: int = 0  # grid of the first stage, in tokens
    width: int = 0


@dataclass(frozen=True)
class TokenLayout:
    """Where the tokens of one stage are in the volume."""

    volume: VolumeShape
    downsample: int = 1  # how many times coarser than the first stage

    @property
    def grid(self) -> tuple[int, int]:
        """The token grid (h, w) of the stage."""
        return self.volume.height // self.downsample, self.volume.width // self.downsample

    def split(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Split (B*D, P+N, E) into prefix tokens (B*D, P, E) and patches (B*D, N, E)."""
        height, width = self.grid
        n_prefix = x.shape[1] - height * width
        return x[:, :n_prefix], x[:, n_prefix:]

    def to_maps(self, patches: torch.Tensor) -> torch.Tensor:
        """Return patches (B*D, N, E) as maps (B*D, E, h, w)."""
        return patches.transpose(1, 2).reshape(len(patches), patches.shape[2], *self.grid)

    def change_patches(
        self, x: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Return ``change`` of the patches of (B*D, P+N, E), and zeros for the P prefix tokens."""
        prefix, patches = self.split(x)
        changed = change(patches)
        return torch.cat([torch.zeros_like(prefix), changed], dim=1) if prefix.shape[1] else changed


@dataclass(frozen=True)
class WindowLayout(TokenLayout):
    """Where the tokens of one window are: inside an attention, a window is an image of its own."""

    window: tuple[int, int] = (1, 1)

    @property
    def grid(self) -> tuple[int, int]:
        return self.window


@dataclass(frozen=True)
class Site:
    """One place where a method may put a module: attribute ``name`` of ``parent``."""

    role: Role
    parent: nn.Module = field(repr=False)
    name: str
    index: int  # of the block, from 0; outside of blocks that of the next, or else the last one
    stage: int
    width: int  # E, the token width at this site
    last_in_stage: bool
    layout: TokenLayout = field(repr=False)
    n_heads: int = 1  # of the block's attention

    @property
    def module(self) -> nn.Module:
        """The module that is at this site now: the original or what a method has put there."""
        return self.parent.get_submodule(self.name)


class HasSites(Protocol):
    """What a method may know of a backbone, which is a module otherwise."""

    name: str
    patch_size: int
    width: int  # E of the first stage
    sites: tuple[Site, ...]
    volume: VolumeShape
    frozen_modules: tuple[nn.Module, ...]  # `train` leaves them in evaluation mode
    selection: Selection | None  # what has to see gradients before training
    training: bool

    def modules(self) -> Iterator[nn.Module]: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def train(self, mode: bool = True) -> object: ...


def is_pyramid(backbone: HasSites) -> bool:
    """Return whether the grid of tokens halves from stage to stage."""
    return any(site.layout.downsample > 1 for site in backbone.sites)


def locate_parameters(backbone: HasSites) -> Iterator[tuple[str, nn.Parameter, int]]:
    """Yield name, parameter and the number of the block that it belongs to.

    What is in front of all blocks belongs to the first one, what is between two stages to the next
    one, the final norm to the last one.
    """
    index_of: dict[nn.Parameter, int] = {}
    for site in backbone.sites:
        if site.role in (Role.BLOCK, Role.MERGE_NORM, Role.REDUCTION, Role.FINAL_NORM):
            index_of |= dict.fromkeys(site.module.parameters(), site.index)
    for name, parameter in backbone.named_parameters():
        yield name, parameter, index_of.get(parameter, 0)
