"""Devices that share a training: a process each, which has an equal share of every batch.

Where there is one device, each function returns what it was given. Gradients are averaged once a
step, after the backward pass, and not inside it as torch's DistributedDataParallel does: some
methods have parameters that only a loss beside the network's output reaches, or that have a
gradient on some of the devices alone.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import nn


class _Sum(torch.autograd.Function):
    """The sum over the processes, whose gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = _Sum.apply(gradient)
        return total


def sum_over_ranks(tensor: torch.Tensor, fabric: Fabric) -> torch.Tensor:
    """Return the sum of the processes' tensors, equal in all of them, with a gradient."""
    if fabric.world_size == 1:
        return tensor
    total: torch.Tensor = _Sum.apply(tensor)
    return total


def mean_over_ranks(tensor: torch.Tensor, fabric: Fabric) -> torch.Tensor:
    """Return the mean of the processes' tensors, equal in all of them, without a gradient."""
    tensor = tensor.detach()
    if fabric.world_size == 1:
        return tensor
    return sum_over_ranks(tensor, fabric) / fabric.world_size


def average_gradients(parameters: Iterable[nn.Parameter], fabric: Fabric) -> None:
    """Give every process the mean of their gradients; what has none in any process has none."""
    if fabric.world_size == 1:
        return
    trained = [each for each in parameters if each.requires_grad]
    n_present = torch.tensor([each.grad is not None for each in trained], dtype=torch.int32)
    dist.all_reduce(n_present)  # in host memory
    present = [each for each, count in zip(trained, n_present.tolist(), strict=True) if count]
    if not present:
        return
    for parameter in present:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [each.grad for each in present if each.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= fabric.world_size
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, mean in zip(gradients, torch.split(flat, sizes), strict=True):
        gradient.copy_(mean.view_as(gradient))
