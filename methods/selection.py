"""A look at gradients before training, by which some methods choose what trains."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Protocol

import torch


class Seen(Protocol):
    """What was seen of the gradients of some frozen weights."""

    watched: Sequence[torch.Tensor]

    def observe(self) -> None:
        """Take in the present gradients, and remove them."""


class Selection(Protocol):
    """What a method has left with the backbone in order to choose, before the first step."""

    n_batches: int  # of training patches

    def start(self) -> Any:
        """Return a fresh `Seen`."""

    def choose(self, seen: Any) -> None:
        """Let what was chosen train, and nothing else."""


def select(
    selection: Selection,
    losses: Iterable[torch.Tensor],
    backward: Callable[[torch.Tensor], object] = torch.Tensor.backward,
) -> None:
    """Carry out a selection; each loss is computed when it is asked for, and no weight moves."""
    seen: Seen = selection.start()
    for weight in seen.watched:
        weight.requires_grad_(True)
    try:
        for loss in islice(losses, selection.n_batches):
            backward(loss)
            seen.observe()
    finally:
        for weight in seen.watched:
            weight.requires_grad_(False)
            weight.grad = None
    selection.choose(seen)
