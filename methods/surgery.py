"""The only code that swaps modules, freezes and thaws.

A site names its place by the parent module object, never by a path. So a place stays valid when
something around it was wrapped: two methods, or one method at two roles of a block, compose.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

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


def replace(site: Site, module: nn.Module) -> None:
    """Put a module at a site."""
    setattr(site.parent, site.name, module)


def wrap(site: Site, make: Callable[[nn.Module], nn.Module]) -> None:
    """Replace the module at a site by ``make(module)``."""
    replace(site, make(site.module))


def merge(backbone: HasSites) -> None:
    """Fold every mergeable module into the frozen weights."""
    for module in backbone.modules():
        if isinstance(module, Mergeable):
            module.merge()


def unmerge(backbone: HasSites) -> None:
    """Undo `merge` bit for bit."""
    for module in backbone.modules():
        if isinstance(module, Mergeable):
            module.unmerge()
