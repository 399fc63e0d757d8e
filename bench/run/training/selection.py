"""The pass over training patches by which some methods choose what trains; it moves no weight."""

from collections.abc import Callable, Iterable, Iterator
from itertools import count

import torch
from lightning_fabric import Fabric

from bench.models.segmenter import Segmenter
from bench.models.selection import run_selection
from bench.run.training.ranks import average_gradients
from bench.run.training.step import Batch, build_step
from bench.specs.protocol import TrainSpec


def select_by_gradient(
    model: Segmenter, draw_epoch: Callable[[int], Iterable[Batch]], spec: TrainSpec, fabric: Fabric
) -> None:
    """Let a method that asks for it choose what trains, by the protocol's loss and precision.

    The patches are those of the first epochs. Its time belongs to the time of training.
    """
    if model.backbone.selection is None:
        return
    step = build_step(model, spec, fabric)
    step.model.train()

    def iter_losses() -> Iterator[torch.Tensor]:
        for epoch in count():
            for batch in draw_epoch(epoch):
                yield step.loss(fabric.to_device(batch))

    def backward(loss: torch.Tensor) -> None:
        step.backward(loss)
        average_gradients(model.parameters(), fabric)

    run_selection(model, iter_losses(), backward)
