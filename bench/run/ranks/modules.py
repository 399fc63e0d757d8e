"""Modules that see a whole batch: while devices share one, they act as on a single device."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from timm.layers import DropPath
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from bench.run.training.ranks import sum_over_ranks
from methods.batch import BatchSum, Noise

Forward = Callable[[torch.Tensor], torch.Tensor]


@contextmanager
def sharing_batches(model: nn.Module, fabric: Fabric) -> Iterator[None]:
    """Let a network be trained on shares of batches, with the results of the whole ones.

    Batch norms use the statistics of the whole batch. Random numbers are drawn for the whole batch
    on every device, which uses its part of them: so they are those of a single device, and equal
    states come after them everywhere.
    """
    changed = []
    for module in model.modules() if fabric.world_size > 1 else ():
        forward = _choose_forward(module, fabric)
        if forward is not None:
            module.forward = forward
            changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _choose_forward(module: nn.Module, fabric: Fabric) -> Forward | None:
    """Return what stands for a module's forward pass; None: it takes every patch for itself."""
    if isinstance(module, _BatchNorm):
        if fabric.device.type == "cuda":
            return _build_torch_norm(module)
        return lambda x: _normalise(module, x, fabric)
    if isinstance(module, _DropoutNd | DropPath):
        return _share_dropout(module, fabric)
    if isinstance(module, Noise):
        draw = module.forward
        return lambda x: _take_share(draw(_whole_ones(x, fabric)), fabric)
    if isinstance(module, BatchSum):
        add = module.forward
        return lambda x: sum_over_ranks(add(x), fabric)
    return None


def _share_dropout(module: nn.Module, fabric: Fabric) -> Forward:
    own: Forward = module.forward

    def forward(x: torch.Tensor) -> torch.Tensor:
        if not module.training:
            return own(x)
        return x * _take_share(own(_whole_ones(x, fabric)), fabric)

    return forward


def _whole_ones(x: torch.Tensor, fabric: Fabric) -> torch.Tensor:
    return x.new_ones(len(x) * fabric.world_size, *x.shape[1:])


def _take_share(whole: torch.Tensor, fabric: Fabric) -> torch.Tensor:
    return whole.chunk(fabric.world_size)[fabric.global_rank]


def _build_torch_norm(norm: _BatchNorm) -> Forward:
    """Return torch's synchronised norm, which is for GPUs, on the tensors of this one."""
    synchronised = nn.SyncBatchNorm(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    )

    def forward(x: torch.Tensor) -> torch.Tensor:
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            setattr(synchronised, name, getattr(norm, name))
        synchronised.momentum = norm.momentum
        synchronised.training = norm.training
        return synchronised(x)

    return forward


def _normalise(norm: _BatchNorm, x: torch.Tensor, fabric: Fabric) -> torch.Tensor:
    """Return what a batch norm does with the whole batch, for a share of it (B, C, ...)."""
    if not norm.training:
        return type(norm).forward(norm, x)
    dims = [0, *range(2, x.dim())]
    size = fabric.world_size * x.numel() // x.shape[1]
    shape = (1, -1, *[1] * (x.dim() - 2))
    mean = sum_over_ranks(x.sum(dims), fabric) / size
    centred = x - mean.view(shape)
    variance = sum_over_ranks((centred**2).sum(dims), fabric) / size
    _follow(norm, mean.detach(), variance.detach() * size / (size - 1))
    y = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.weight is not None:
        y = y * norm.weight.view(shape) + norm.bias.view(shape)
    return y


@torch.no_grad()
def _follow(norm: _BatchNorm, mean: torch.Tensor, variance: torch.Tensor) -> None:
    """Move the running statistics of a norm, as torch does."""
    if norm.running_mean is None or norm.running_var is None:
        return
    share = norm.momentum
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked += 1
        share = 1 / float(norm.num_batches_tracked) if share is None else share
    assert share is not None
    norm.running_mean.lerp_(mean.to(norm.running_mean), share)
    norm.running_var.lerp_(variance.to(norm.running_var), share)
