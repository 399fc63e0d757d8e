"""Whether what a request names can be had and fits, asked in a process of its own.

Building a method runs its author's code, which may do anything. A ValueError refuses the request.
Anything else means that the answer is not known here, and the run itself decides.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import methods as registered
from bench.grid.answers import NoAnswer, Refusal, ask, iter_answers
from bench.models.backbones.info import NONE, Blueprint
from bench.run.training.schedule import Schedule
from bench.specs import lookup
from bench.specs.protocol import Protocol
from bench.specs.run import MethodSpec
from methods.settings import Value

if TYPE_CHECKING:  # imports torch, which a command that asks does without
    from bench.models.feasibility import Outline

PATIENCE_S = 60.0  # for each method
ANSWER = "bench.grid.feasibility:answer"
BUILD_SPEC = "bench.grid.feasibility:build_spec"
READ_WEIGHTS = "bench.grid.feasibility:read_weights"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """Whether a method's record can be built, or whether the method fits a network."""

    method: MethodSpec
    protocol: Protocol | None  # of the network; None: only the method's record is built


def check_methods(methods: Sequence[MethodSpec], protocol: Protocol) -> tuple[MethodSpec, ...]:
    """Check that each method can be built, and fits the protocol's network and batches.

    Returns: each once, with the settings that differ from its defaults alone.
    Raises: ValueError with the method's own sentence if it does not; if building its record ends
    the process or does not return.
    """
    questions = []
    for method in methods:
        questions += [Question(method, None), Question(method, protocol)]
    built = []
    for answer in iter_answers(ANSWER, questions, PATIENCE_S):
        question, value = answer.job, answer.value
        if isinstance(value, Refusal):
            raise ValueError(value.sentence)
        if isinstance(value, NoAnswer):
            if question.protocol is None:
                start = f"method '{question.method}': building its record"
                raise ValueError(f"{start}: {value.sentence}")
            log.info("%s: not checked beforehand: %s", question.method, value.sentence)
        elif question.protocol is None:
            built.append(value)
    return tuple(dict.fromkeys(built))


def check_weights(protocol: Protocol) -> str:
    """Return the SHA-256 of the file of the protocol's weights, "" for ``none``.

    Raises: ValueError if they cannot be had, are damaged, or are of another architecture.
    """
    return "" if protocol.model.weights == NONE else ask(READ_WEIGHTS, protocol)


def change_settings(method: MethodSpec, changes: Mapping[str, Value]) -> MethodSpec:
    """Return a method with changed settings, those that equal its defaults left out.

    Raises: ValueError if it has no such setting, or cannot be built with it.
    """
    asked = method.name, {**dict(method.settings), **changes}
    if "torch" in sys.modules:
        return build_spec(asked)
    found: MethodSpec = ask(BUILD_SPEC, asked)
    return found


def build_spec(asked: tuple[str, Mapping[str, Value]]) -> MethodSpec:
    """Build a method of a name with settings; return the settings that differ from its defaults."""
    name, settings = asked
    return MethodSpec(name, registered.changed_settings(lookup.build(name, settings)))


def describe_outline(protocol: Protocol) -> Outline:
    """Return what methods are checked on."""
    from bench.models.feasibility import Outline

    model, data = protocol.model, protocol.data
    return Outline(
        Blueprint(
            model.backbone,
            NONE,
            model.decoder,
            model.prefix_tokens,
            decoder_mode=model.decoder_mode,
        ),
        data.patch,
        find_smallest_batch(protocol),
        data.spacing_mm,
        model.also_train,
        model.backbone_mode,
    )


def find_smallest_batch(protocol: Protocol) -> int:
    """Return how many patches the smallest batch has that training gets to see."""
    n_patches, size = protocol.data.patches_per_epoch, protocol.train.batch
    n_batches, rest = divmod(n_patches, size)
    if not rest:
        return size
    schedule = Schedule(protocol.train, n_batches + 1)
    ends_before = schedule.n_steps * protocol.train.accumulate <= n_batches
    return size if n_batches and ends_before else rest


def answer(question: Question) -> MethodSpec | None:
    """Return a method's short spec, or check that it fits; raises as `check_fit`."""
    if question.protocol is None:
        return build_spec((question.method.name, dict(question.method.settings)))
    from bench.models.feasibility import check_fit

    check_fit(question.method.build(), describe_outline(question.protocol))
    return None


def read_weights(protocol: Protocol) -> str:
    """Get the weights of a protocol and return the SHA-256 of their file."""
    from bench.models.build import check_weights as check

    model, size = protocol.model, protocol.data.patch[1:]
    return check(model.backbone, model.weights, size, prefix_tokens=model.prefix_tokens)
