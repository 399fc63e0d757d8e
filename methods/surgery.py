"""The only code that swaps modules, freezes and thaws.

A site names its place by the parent module object, never by a path. So a place stays valid when
something around it was wrapped: two methods, or one method at two roles of a block, compose.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import cast

import torch
from torch import nn

from methods.sites import HasSites, Site


class Mergeable(nn.Module, ABC):
    """An inserted module that can be folded into the weights next to it, and taken out again."""

    @abstractmethod
    def merge(self) -> None:
        """Fold the module into the frozen weights; a second call does nothing."""

    @abstractmethod
    def unmerge(self) -> None:
        """Restore the frozen weights bit for bit; does nothing if not merged."""


class Folding(Mergeable):
    """A frozen layer ``base`` with a change that its own weight and bias can take up."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.unmerged: dict[str, torch.Tensor] = {}  # the layer's own tensors, while merged

    @abstractmethod
    def fold(self) -> dict[str, torch.Tensor]:
        """Return the weight of the layer, and its bias if that changes, with the change in them."""

    @property
    def is_merged(self) -> bool:
        return bool(self.unmerged)

    @property
    def weight(self) -> torch.Tensor:
        """The weight of the frozen layer, with the change in it while merged."""
        return cast(torch.Tensor, self.base.weight)

    @property
    def bias(self) -> torch.Tensor | None:
        """The bias of the frozen layer, with the change in it while merged."""
        return cast("torch.Tensor | None", self.base.bias)

    @torch.no_grad()
    def merge(self) -> None:
        if self.is_merged:
            return
        for name, folded in self.fold().items():
            own = getattr(self, name)
            self.unmerged[name] = own.clone()
            own.copy_(folded)

    @torch.no_grad()
    def unmerge(self) -> None:
        for name, value in self.unmerged.items():
            getattr(self, name).copy_(value)
        self.unmerged = {}


def freeze(backbone: HasSites) -> None:
    """Freeze every parameter, and keep the present modules in evaluation mode from now on."""
    for parameter in backbone.parameters():
        parameter.requires_grad_(False)
    backbone.frozen_modules = tuple(backbone.modules())[1:]  # all but itself
    backbone.train(backbone.training)


def unfreeze(backbone: HasSites) -> None:
    """Let every parameter train and every module follow ``train()`` and ``eval()`` again."""
    for parameter in backbone.parameters():
        parameter.requires_grad_(True)
    backbone.frozen_modules = ()
    backbone.train(backbone.training)


def thaw(parameters: Iterable[nn.Parameter]) -> None:
    """Let some of the backbone's own parameters train; their modules stay in evaluation mode."""
    for parameter in parameters:
        parameter.requires_grad_(True)


def thaw_module(backbone: HasSites, module: nn.Module) -> None:
    """Let a module of the backbone train, and follow ``train()`` and ``eval()`` again."""
    thaw(module.parameters())
    inside = set(module.modules())
    frozen = backbone.frozen_modules
    backbone.frozen_modules = tuple(each for each in frozen if each not in inside)


def replace(site: Site, module: nn.Module) -> None:
    """Put a module at a site."""
    setattr(site.parent, site.name, module)


def wrap(site: Site, make: Callable[[nn.Module], nn.Module]) -> None:
    """Replace the module at a site by ``make(module)``."""
    replace(site, make(site.module))


def merge(backbone: HasSites) -> None:
    """Fold every mergeable module into the frozen weights."""
    for module in reversed([*backbone.modules()]):  # of two around one layer, the inner one first
        if isinstance(module, Mergeable):
            module.merge()


def unmerge(backbone: HasSites) -> None:
    """Undo `merge` bit for bit."""
    for module in backbone.modules():
        if isinstance(module, Mergeable):
            module.unmerge()
