"""A dispatch to a queue of tests, and what it submits."""

from dataclasses import dataclass

from bench.grid.executors.follow import Dispatch
from tests.bench.grid.executors.conftest import FAST


@dataclass(frozen=True)
class Spec:
    number: int


def make_dispatch(queue, out, at_once=None):
    changes = []
    return Dispatch(queue, out, at_once, changes.append, FAST), changes


def make_specs(out, count=3):
    return {out / "runs" / f"r{number}": Spec(number) for number in range(count)}


def never(folder):
    return False
