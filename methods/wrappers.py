"""Modules around a frozen one: what is inserted runs before, behind or beside it.

`BeforeResidual` and `AfterResidual` go around a residual branch, whose output the block adds to the
stream, and act on the stream itself.
"""

import torch
from torch import nn


class Before(nn.Module):
    """``inner(adapter(x))``."""

    def __init__(self, adapter: nn.Module, inner: nn.Module) -> None:
        super().__init__()
        self.adapter = adapter
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(self.adapter(x))


class Behind(nn.Module):
    """``adapter(inner(x))``."""

    def __init__(self, adapter: nn.Module, inner: nn.Module) -> None:
        super().__init__()
        self.adapter = adapter
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.adapter(self.inner(x))


class Beside(nn.Module):
    """``branch(x) + adapter(x)``."""

    def __init__(self, adapter: nn.Module, branch: nn.Module) -> None:
        super().__init__()
        self.adapter = adapter
        self.branch = branch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.branch(x) + self.adapter(x)


class BeforeResidual(nn.Module):
    """In front of a branch, x' = x + adapter(x): the block gets x' + branch(x')."""

    def __init__(self, adapter: nn.Module, branch: nn.Module) -> None:
        super().__init__()
        self.adapter = adapter
        self.branch = branch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change = self.adapter(x)
        return change + self.branch(x + change)


class AfterResidual(nn.Module):
    """Behind a branch, x' = x + branch(x): the block gets x' + adapter(x')."""

    def __init__(self, adapter: nn.Module, branch: nn.Module) -> None:
        super().__init__()
        self.adapter = adapter
        self.branch = branch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.branch(x)
        return y + self.adapter(x + y)
