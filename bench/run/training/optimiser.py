"""The protocol's optimiser: rates and weight decay by the part that a parameter belongs to.

The decoder starts from random numbers and the backbone from pre-trained ones, so one rate cannot
suit both. By default weight decay leaves out biases, norms, scales, prompts and position
embeddings, as in DeiT (Touvron et al., ICML 2021) and timm.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from bench.models.segmenter import Part, Segmenter
from bench.specs.protocol import ALL, TrainSpec


def build_optimizer(model: Segmenter, spec: TrainSpec) -> torch.optim.Optimizer:
    """Return the protocol's optimiser over everything that requires a gradient.

    Its groups are named ``decoder``, ``method`` and ``backbone``; what gets no weight decay is a
    group of its own, such as ``decoder, undecayed``.
    """
    groups: list[dict[str, Any]] = []
    for part, parameters in model.list_trained().items():
        lr, decay = spec.lr, spec.weight_decay
        if part == Part.DECODER:
            lr, decay = spec.decoder_lr, spec.decoder_weight_decay
        for group in group_by_decay(model, parameters, decay, spec.decay):
            named = {**group, "name": f"{part}{group['name']}", "lr": lr}
            groups.append(named)
    # 16-mixed clips gradients between unscaling and step, which a fused kernel does at once
    fused = spec.precision != "16-mixed"
    if spec.optimizer == "adam":
        return torch.optim.Adam(groups, amsgrad=True, fused=fused)
    return torch.optim.AdamW(groups, fused=fused)


def group_by_decay(
    model: nn.Module, parameters: Iterable[nn.Parameter], weight_decay: float, decay: str
) -> list[dict[str, Any]]:
    """Return groups of a torch optimiser for some of a model's parameters; no group is empty.

    Args:
        decay: ``all``, or ``matrices``, which leaves out those of `list_undecayed`.
    """
    undecayed = set() if decay == ALL else list_undecayed(model)
    trained = [*parameters]
    with_decay = [each for each in trained if each not in undecayed]
    without = [each for each in trained if each in undecayed]
    groups: list[dict[str, Any]] = [
        {"name": "", "params": with_decay, "weight_decay": weight_decay},
        {"name": ", undecayed", "params": without, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def list_undecayed(model: nn.Module) -> set[nn.Parameter]:
    """Return what gets no weight decay by convention.

    These are biases, norms and scales, which have at most one axis, and what a module declares by a
    method ``no_weight_decay()`` (timm's convention): the names of its own parameters.
    Raises: AttributeError if a module names a parameter that it lacks.
    """
    found = {parameter for parameter in model.parameters() if parameter.ndim <= 1}
    for module in model.modules():
        declare = getattr(module, "no_weight_decay", None)
        if declare is not None:
            found |= {module.get_parameter(name) for name in declare()}
    return found
