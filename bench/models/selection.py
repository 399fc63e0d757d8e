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
    """Carry out the selection that the method has left, if any; no gradient is left.

    Nothing else changes: the statistics of the decoder's batch norms stay those of every method.
    """
    if model.backbone.selection is None:
        return
    before = {name: value.clone() for name, value in model.decoder.named_buffers()}
    select(model.backbone.selection, losses, backward)
    for name, buffer in model.decoder.named_buffers():
        buffer.copy_(before[name])
    model.zero_grad()
