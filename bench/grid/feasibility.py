"""Whether the methods of a request fit their network, asked in a process of its own.

Building a method runs its author's code, which may do anything. A ValueError refuses the request.
Anything else means that the answer is not known here, and the run itself decides.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from bench.grid.answers import NoAnswer, Refusal, iter_answers
from bench.models.backbones.info import NONE, Blueprint
from bench.models.feasibility import Outline, check_fit
from bench.run.training.schedule import Schedule
from bench.specs.protocol import Protocol
from bench.specs.run import MethodSpec

PATIENCE_S = 60.0  # for each method
ANSWER = "bench.grid.feasibility:answer"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """Whether a method's record can be built, or whether the method fits a network."""

    method: MethodSpec
    outline: Outline | None  # None: only its record is built


def check_methods(methods: Sequence[MethodSpec], protocol: Protocol) -> None:
    """Check that each method can be built, and fits the protocol's network and batches.

    Raises: ValueError with the method's own sentence if it does not; if building its record ends
    the process or does not return.
    """
    outline = describe_outline(protocol)
    questions = []
    for method in methods:
        questions += [Question(method, None), Question(method, outline)]
    for answer in iter_answers(ANSWER, questions, PATIENCE_S):
        question, value = answer.job, answer.value
        if isinstance(value, Refusal):
            raise ValueError(value.sentence)
        if not isinstance(value, NoAnswer):
            continue
        if question.outline is None and not value.is_exception:
            raise ValueError(f"method '{question.method}': building its record: {value.sentence}")
        log.info("%s: not checked beforehand: %s", question.method, value.sentence)


def describe_outline(protocol: Protocol) -> Outline:
    """Return what methods are checked on."""
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


def answer(question: Question) -> None:
    """Build a method's record, and the method into an outline; raises as `check_fit`."""
    contender = question.method.build()
    if question.outline is not None:
        check_fit(contender, question.outline)
