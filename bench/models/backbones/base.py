"""What every backbone is: slices in, four maps out, with labelled sites for methods.

A transformer block is two residual branches, ``x = x + drop_path(scale(inner(norm(x))))``, of
timm's own modules, so that features equal timm's and pre-trained weights load by timm's rules.
"""

from abc import ABC, abstractmethod
from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

import torch
from timm.layers import DropPath
from torch import nn

from bench.models.backbones.info import DROP, KEEP, LoadedWeights
from methods.executed import Executed
from methods.selection import Selection
from methods.sites import Role, Site, TokenLayout, VolumeShape

PLACES = {  # of the sites in a block
    Role.ATTN_BRANCH: "attn_branch",
    Role.MLP_BRANCH: "mlp_branch",
    Role.ATTN: "attn_branch.inner",
    Role.MLP: "mlp_branch.inner",
    Role.NORM1: "attn_branch.norm",
    Role.NORM2: "mlp_branch.norm",
    Role.QKV: "attn_branch.inner.qkv",
    Role.PROJ: "attn_branch.inner.proj",
    Role.FC1: "mlp_branch.inner.fc1",
    Role.FC2: "mlp_branch.inner.fc2",
}


class Branch(Executed):
    """One residual branch on tokens (B*D, P+N, E); the block adds its output to its input.

    Modules inside, inserted ones included, may see a part of the slices and may run twice; those
    around it or around a block see all slices of all volumes once, as drop path does.
    """

    def __init__(
        self, norm: nn.Module, inner: nn.Module, scale: nn.Module, drop_path: nn.Module
    ) -> None:
        super().__init__()
        self.norm = norm
        self.inner = inner
        self.scale = scale
        self.drop_path = drop_path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop_path(self.run_slices(self.transform, x))

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale(self.inner(self.norm(x)))


class Block(Executed):
    """A transformer block on tokens (B*D, P+N, E): attention branch, then MLP branch.

    With checkpointing a block of bare branches keeps its input only, others that of each branch.
    """

    def __init__(self, attn_branch: Branch, mlp_branch: Branch) -> None:
        super().__init__()
        self.attn_branch = attn_branch
        self.mlp_branch = mlp_branch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.execution.checkpointing and self._is_bare():
            return self.run_slices(self._transform, x)
        x = x + self.attn_branch(x)
        return x + self.mlp_branch(x)

    def _transform(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn_branch.transform(x)
        return x + self.mlp_branch.transform(x)

    def _is_bare(self) -> bool:
        """Whether nothing is around a branch, and its drop path, which needs all slices, is off."""
        for branch in self.children():
            if not isinstance(branch, Branch):
                return False
            if branch.drop_path.training and not isinstance(branch.drop_path, nn.Identity):
                return False
        return True


class Backbone(nn.Module, ABC):
    """A 2-D transformer that reads volumes slice by slice; methods see `methods.sites.HasSites`."""

    patch_embed: Any  # timm's
    sites: tuple[Site, ...]
    tap_channels: tuple[int, ...]
    tap_strides: tuple[int, ...]  # voxels per feature, one per tap
    paper_parts: tuple[str, ...] = ("norm",)  # what Med-Tuning trains beside every method

    def __init__(self, name: str, patch_size: int, width: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.name = name
        self.patch_size = patch_size
        self.width = width
        self.image_size = image_size
        self.volume = VolumeShape()
        self.frozen_modules: tuple[nn.Module, ...] = ()
        self.frozen_in_train_mode = False
        self.selection: Selection | None = None
        self.loaded: LoadedWeights | None = None  # None: random weights
        self.prefix_tokens = KEEP
        self.taps_stage_inputs = False  # the last tap is what leaves its stage in any case

    @abstractmethod
    def run(self, slices: torch.Tensor) -> list[torch.Tensor]:
        """Return four taps (B*D, E_i, h_i, w_i), fine to coarse, of slices (B*D, C, H, W)."""

    def drop_prefix_tokens(self) -> None:
        """Take class and register tokens out of a new network, where it has some."""
        self.prefix_tokens = DROP

    @abstractmethod
    def adapt_checkpoint(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return a file's tensors under timm's present names, resampled to this grid and window."""

    def forward(self, slices: torch.Tensor, batch: int, depth: int) -> list[torch.Tensor]:
        """Set `volume`, then `run`; raise a ValueError if slices have another size than ours."""
        height, width = slices.shape[-2:]
        if (height, width) != self.image_size:
            expected = "x".join(map(str, self.image_size))
            raise ValueError(f"{self.name}: built for slices of {expected}, got {height}x{width}")
        self.volume.batch = batch
        self.volume.depth = depth
        self.volume.height = height // self.patch_size
        self.volume.width = width // self.patch_size
        return self.run(slices)

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation; frozen modules stay in evaluation mode."""
        super().train(mode)
        if not self.frozen_in_train_mode:
            for module in self.frozen_modules:
                module.training = False
        return self

    def list_paper_parameters(self) -> list[nn.Parameter]:
        parts = tuple(f"{part}." for part in self.paper_parts)
        named = self.named_parameters()
        return [parameter for name, parameter in named if f"{name}.".startswith(parts)]


def set_drop_path(backbone: Backbone, rate: float) -> None:
    """Drop residual branches at rates that rise linearly from 0 in the first block to ``rate``.

    Modules are replaced, so call it before a method is put in.
    Reference: Huang et al., Deep Networks with Stochastic Depth, ECCV 2016, section 3.
    """
    blocks = [module for module in backbone.modules() if isinstance(module, Block)]
    for number, block in enumerate(blocks):
        own = rate * number / max(1, len(blocks) - 1)
        for branch in (block.attn_branch, block.mlp_branch):
            branch.drop_path = DropPath(own) if own else nn.Identity()


def to_map(x: torch.Tensor, layout: TokenLayout) -> torch.Tensor:
    """Return the patch tokens of (B*D, P+N, E) as a map (B*D, E, h, w); the P are cut off."""
    _, patches = layout.split(x)
    return patches.transpose(1, 2).reshape(x.shape[0], x.shape[2], *layout.grid)


def list_sites(
    backbone: Backbone,
    lists: Sequence[Any],
    layouts: Sequence[TokenLayout],
    ends: Container[int],
    mergings: Sequence[nn.Module] = (),
) -> tuple[Site, ...]:
    """Return the sites in front of the blocks, those of each block, and the final norm.

    ``lists`` are the blocks of each layout, ``ends`` the numbers of the blocks that end a stage,
    ``mergings`` what makes the tokens of each layout.
    """
    front = (0, 0, backbone.width, False, layouts[0])
    sites = [
        Site(Role.PROMPT, backbone, "prompt", *front),
        Site(Role.PATCH_EMBED, backbone.patch_embed, "proj", *front),
        Site(Role.PATCH_NORM, backbone.patch_embed, "norm", *front),
        Site(Role.PATCH_NORM, backbone, "norm_pre", *front),
    ]
    index = stage = 0
    for number, (blocks, layout) in enumerate(zip(lists, layouts, strict=True)):
        width = backbone.width * layout.downsample
        if mergings:
            between = (index, stage, 2 * width, False, layout)
            sites.append(Site(Role.MERGE_NORM, mergings[number], "norm", *between))
            sites.append(Site(Role.REDUCTION, mergings[number], "reduction", *between))
        for position in range(len(blocks)):
            is_last = index in ends
            sites += list_block_sites(blocks, position, (index, stage, width, is_last, layout))
            stage += is_last
            index += 1
    last = (index - 1, stage - 1, width, True, layout)
    sites.append(Site(Role.FINAL_NORM, backbone, "norm", *last))
    return tuple(site for site in sites if _is_there(site))


def list_block_sites(blocks: Any, position: int, facts: tuple[Any, ...]) -> Iterator[Site]:
    """Yield the sites of one block; ``facts`` are the fields of `Site` from ``index`` on."""
    block = blocks[position]
    attention = block.attn_branch.inner
    facts = (*facts, attention.num_heads)
    yield Site(Role.BLOCK, blocks, str(position), *facts)
    for role, path in PLACES.items():
        parent, _, name = path.rpartition(".")
        site = Site(role, block.get_submodule(parent), name, *facts)
        if role in (Role.QKV, Role.PROJ):  # which may see one window at a time
            site = replace(site, layout=getattr(attention, "window_layout", site.layout))
        yield site


def _is_there(site: Site) -> bool:
    """Whether the place exists and has a module that does something; prompts start as none."""
    module = getattr(site.parent, site.name, None)
    return module is not None and (site.role is Role.PROMPT or type(module) is not nn.Identity)
