"""Operations of a network: forward by fvcore, training by what autograd really executes.

Training is one forward and one backward pass under a dispatch mode: what needs no gradient is not
executed, hence not counted, and what gradient checkpointing computes again is. Both counters follow
`bench.cost.mac_rules` and name every operation for which there is no rule.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench.cost import mac_rules
from bench.cost.traced_flops import count_forward
from reports.records.cost import GFLOP_PER_GMAC, Compute

Pass = Callable[[torch.Tensor], object]


class MacCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
    """Counts what is executed while it is on: ``macs``, and ``uncounted`` operations by name."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.macs = 0.0
        self.uncounted: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        macs = mac_rules.count_macs(func, args, kwargs or {}, out)
        if macs is not None:
            self.macs += macs
        elif not mac_rules.is_free(func._schema.name):
            self.uncounted[func._schema.name] += 1
        return out


def count_compute(model: nn.Module, volume: torch.Tensor, train_on: Pass | None = None) -> Compute:
    """Return the count for a volume (1, C, D, H, W) with data, for the forward pass is traced.

    Batch norms see the volume, gradients stay. ``train_on`` stands for `pass_both_ways`.
    """
    forward_gmac, unknown_forward = count_forward(model, volume)
    training_gmac, unknown_training = count_training(train_on or pass_both_ways(model), volume)
    unknown = unknown_forward | unknown_training
    uncounted = tuple(f"{name} x {calls}" for name, calls in sorted(unknown.items()))
    return Compute(GFLOP_PER_GMAC * forward_gmac, GFLOP_PER_GMAC * training_gmac, uncounted)


@dataclass
class PassCount:
    """How many windows have gone through a network; several may go at once."""

    n_passes: int = 0

    def add_volumes(self, compute: Compute, n_volumes: int) -> Compute:
        """Return the count with that of a volume, if the passes were those of so many volumes."""
        passes = self.n_passes / n_volumes
        volume_gflop = passes * compute.forward_gflop
        return replace(compute, passes_per_volume=passes, volume_gflop=volume_gflop)


@contextmanager
def counted_passes(model: nn.Module) -> Iterator[PassCount]:
    """Count the forward passes of a network within a block."""
    count = PassCount()

    def add(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        count.n_passes += len(inputs[0])

    handle = model.register_forward_pre_hook(add)
    try:
        yield count
    finally:
        handle.remove()


def count_training(train_on: Pass, volume: torch.Tensor) -> tuple[float, Counter[str]]:
    """Return the GMAC of both passes over a volume (meta will do), and what has no rule."""
    with MacCounter() as counter:
        train_on(volume)
    return counter.macs / 1e9, counter.uncounted


def pass_both_ways(model: nn.Module) -> Callable[[torch.Tensor], None]:
    """Return a forward and backward pass of the model; loss and optimiser would be pointwise."""

    def run(volume: torch.Tensor) -> None:
        training = model.training
        logits = model.train()(volume)
        logits.backward(torch.ones_like(logits))
        model.train(training)
        model.zero_grad()

    return run
