"""Let the method in a network choose what trains, by gradients."""

from collections.abc import Callable, Iterable

import torch

from bench.models.segmenter import Segmenter
from methods.selection import select


def run_selection(
    model: Segmenter,
    losses: Iterable[torch.Tensor],
    backward: Callable[[torch.Tensor], object] = torch.Tensor.backward,
) -> None:
    """Carry out the selection that the method has left, if any; no gradient is left."""
    if model.backbone.selection is not None:
        select(model.backbone.selection, losses, backward)
        model.zero_grad()
