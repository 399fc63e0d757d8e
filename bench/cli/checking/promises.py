"""Ask a method, or a network, whether it keeps what it promises, in a process of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import methods
from bench.grid.answers import Answer, NoAnswer, Refusal, iter_answers
from bench.grid.cells import parse_names
from bench.models import contract, registry
from bench.models.references import contract as reference_contract
from bench.models.references.base import Reference
from bench.specs.run import MethodSpec
from methods.base import Method, MissingRole

ANSWER = "bench.cli.checking.promises:answer"
PATIENCE_S = 1800.0  # for each promise; the backbone may be large, and there is one thread
WHOLE = "3-D network"  # in the place of a backbone

# By promise, then by backbone. None: it holds; a text: how it is broken; MissingRole: no place.
Outcomes = dict[str, dict[str, str | MissingRole | None]]


@dataclass(frozen=True)
class Job:
    """One promise of a method on one backbone."""

    method: MethodSpec
    promise: str = ""  # empty: only its record is built
    backbone: str = WHOLE


def check_promises(specs: Sequence[MethodSpec], backbones: str) -> Iterator[tuple[str, Outcomes]]:
    """Yield for each method or network its label, and how it keeps its promises.

    Raises: ValueError if a record cannot be built, or if a backbone does not exist.
    """
    names = parse_names(backbones, registry.names(), "--backbone")
    for name in names:
        registry.check_name(name)
    jobs: list[Job] = []
    for spec in specs:
        jobs.append(Job(spec))
        for promise in _list_promises(spec):
            hosts = [WHOLE] if spec.is_reference else names
            jobs += [Job(spec, promise, host) for host in hosts]
    answers = iter_answers(ANSWER, jobs, PATIENCE_S)
    for spec, group in groupby(answers, lambda each: each.job.method):
        yield _read_answers(spec, group)


def _read_answers(spec: MethodSpec, answers: Iterator[Answer[Job]]) -> tuple[str, Outcomes]:
    """Return a label and the outcomes of promises. Raises: ValueError as soon as it has no label.

    The first answer is that to its record; what cannot be built is asked nothing else.
    """
    label = _read_label(spec, next(answers).value)
    outcomes: Outcomes = {promise: {} for promise in _list_promises(spec)}
    for each in answers:
        failed = isinstance(each.value, Refusal | NoAnswer)
        outcome = each.value.sentence if failed else each.value
        outcomes[each.job.promise][each.job.backbone] = outcome
    return label, outcomes


def _list_promises(spec: MethodSpec) -> list[str]:
    return [*(reference_contract.PROMISES if spec.is_reference else contract.PROMISES)]


def _read_label(spec: MethodSpec, value: str | Refusal | NoAnswer) -> str:
    """Return the label that was answered. Raises: ValueError if there is none."""
    if isinstance(value, Refusal):
        raise ValueError(value.sentence)
    if isinstance(value, NoAnswer):
        raise ValueError(f"method '{spec}': building its record: {value.sentence}")
    return value


def answer(job: Job) -> str | MissingRole | None:
    """Return the label of a method, or how it keeps a promise; raises what the method raises."""
    contender = job.method.build()
    if not job.promise:
        return methods.label(contender)
    try:
        if isinstance(contender, Reference):
            return reference_contract.PROMISES[job.promise](contender)
        assert isinstance(contender, Method)
        subject = contract.Subject(contender, job.backbone)
        return contract.PROMISES[job.promise](subject)
    except MissingRole as missing:
        return missing
