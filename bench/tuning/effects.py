"""Which settings of training have an effect on a method, found in a network without numbers."""

from functools import cache

import torch

from bench.models.backbones.info import Blueprint
from bench.models.build import Patch, build_segmenter
from bench.models.references.base import Reference, Task
from bench.models.references.network import build_network
from bench.models.segmenter import Part, Segmenter, apply_method
from bench.run.training.optimiser import group_by_decay
from bench.specs.protocol import Protocol
from methods.base import Contender, Method, MissingRole

CHANNELS, CLASSES = 3, 2  # of the network; they have no influence on which parameters there are


def find_idle(method: Contender, protocol: Protocol) -> frozenset[str]:
    """Return the rates and decays of the protocol, as ``train.lr``, that act on no parameter.

    Of a method that the backbone cannot host, none. Raises: ValueError if a setting does not fit.
    """
    model, patch = protocol.model, protocol.data.patch
    blueprint = Blueprint(model.backbone, decoder=model.decoder, prefix_tokens=model.prefix_tokens)
    try:
        return _find_idle(method, blueprint, patch, model.also_train, protocol.train.decay)
    except MissingRole:
        return frozenset()


@cache
def _find_idle(
    method: Contender, blueprint: Blueprint, patch: Patch, also_train: str, decay: str
) -> frozenset[str]:
    network: Segmenter
    with torch.device("meta"):
        if isinstance(method, Reference):
            network = build_network(method, Task(CHANNELS, CLASSES, patch), seed=0)
        else:
            assert isinstance(method, Method)
            network = build_segmenter(
                blueprint, in_channels=CHANNELS, n_classes=CLASSES, patch=patch, seed=0
            )
            apply_method(network, method, seed=0, also_train=also_train)
    idle = {"train.lr", "train.weight_decay", "train.decoder_lr", "train.decoder_weight_decay"}
    for part, parameters in network.list_trained().items():
        prefix = "train.decoder_" if part == Part.DECODER else "train."
        for group in group_by_decay(network, parameters, 1.0, decay):
            idle.discard(f"{prefix}lr")
            if group["weight_decay"]:
                idle.discard(f"{prefix}weight_decay")
    return frozenset(idle)
