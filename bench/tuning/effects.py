"""Which settings of training have an effect on a method, found in a network without numbers.

The network is built in a process of its own, for a method's code may do anything.
"""

import logging
from dataclasses import dataclass
from functools import cache

import torch

from bench.grid.answers import NoAnswer, Refusal, iter_answers
from bench.models.backbones.info import Blueprint
from bench.models.build import Patch, build_segmenter
from bench.models.references.base import Reference, Task
from bench.models.references.network import build_network
from bench.models.segmenter import Part, Segmenter, apply_method
from bench.run.training.optimiser import group_by_decay
from bench.specs.protocol import Protocol
from methods.base import Contender, Method, MissingRole

CHANNELS, CLASSES = 3, 2  # of the network; they have no influence on which parameters there are
PATIENCE_S = 60.0
ANSWER = "bench.tuning.effects:answer"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """Which rates and decays act on no parameter of a method in a network."""

    method: Contender
    blueprint: Blueprint
    patch: Patch
    also_train: str
    decay: str


def find_idle(method: Contender, protocol: Protocol) -> frozenset[str]:
    """Return the rates and decays of the protocol, as ``train.lr``, that act on no parameter.

    None of a method that the backbone cannot host, or that cannot be built here. Raises: ValueError
    if a setting does not fit.
    """
    model, patch = protocol.model, protocol.data.patch
    blueprint = Blueprint(
        model.backbone,
        decoder=model.decoder,
        prefix_tokens=model.prefix_tokens,
        decoder_mode=model.decoder_mode,
    )
    return _ask(Question(method, blueprint, patch, model.also_train, protocol.train.decay))


@cache
def _ask(question: Question) -> frozenset[str]:
    (answered,) = iter_answers(ANSWER, [question], PATIENCE_S)
    value = answered.value
    if isinstance(value, Refusal):
        raise ValueError(value.sentence)
    if isinstance(value, NoAnswer):
        name = question.method.info.name
        log.info("%s: what has no effect on it is not known: %s", name, value.sentence)
        return frozenset()
    found: frozenset[str] = value
    return found


def answer(question: Question) -> frozenset[str]:
    """Build the network on torch's meta device, or where a method needs numbers on the CPU."""
    try:
        with torch.device("meta"):
            network = _build(question)
    except MissingRole:
        return frozenset()
    except Exception:  # a user's method may raise anything where tensors have no numbers
        network = _build(question)
    idle = {"train.lr", "train.weight_decay", "train.decoder_lr", "train.decoder_weight_decay"}
    for part, parameters in network.list_trained().items():
        prefix = "train.decoder_" if part == Part.DECODER else "train."
        for group in group_by_decay(network, parameters, 1.0, question.decay):
            idle.discard(f"{prefix}lr")
            if group["weight_decay"]:
                idle.discard(f"{prefix}weight_decay")
    return frozenset(idle)


def _build(question: Question) -> Segmenter:
    method, patch = question.method, question.patch
    if isinstance(method, Reference):
        return build_network(method, Task(CHANNELS, CLASSES, patch), seed=0)
    assert isinstance(method, Method)
    network = build_segmenter(
        question.blueprint, in_channels=CHANNELS, n_classes=CLASSES, patch=patch, seed=0
    )
    apply_method(network, method, seed=0, also_train=question.also_train)
    return network
