"""What a reference network costs for a patch, counted without computing and without memory."""

from dataclasses import dataclass

import torch

from bench.cost.flops import count_training, pass_both_ways
from bench.cost.measure import count_elements
from bench.cost.memory import count_saved_bytes
from bench.models.references.base import Reference, Task
from bench.models.references.network import build_network


@dataclass(frozen=True)
class ReferenceCount:
    """One network on one patch, in fp32."""

    n_parameters: int  # all of them train
    training_gmac: float  # forward and backward
    saved_bytes: int  # by autograd up to the logits, weights not counted


def count_reference(reference: Reference, task: Task) -> ReferenceCount:
    """Return the counts of a network. Raises: ValueError if it does not take the patch."""
    with torch.device("meta"):
        model = build_network(reference, task, seed=0)
        volume = torch.empty(1, task.in_channels, *task.patch)
    training_gmac, uncounted = count_training(pass_both_ways(model), volume)
    assert not uncounted, f"{reference.info.name}: no rule for {', '.join(uncounted)}"
    saved = count_saved_bytes(model.train(), lambda: model(volume))
    return ReferenceCount(count_elements(model.parameters()), training_gmac, saved)
