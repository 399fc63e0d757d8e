"""Questions that are answered by code which may raise, end its process, or never return.

Answers come from a child process: a fork of this process where it has imported torch, else a child
of the fork server, so that a command which asks need not import torch itself.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from importlib import import_module
from math import inf
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Generic, TypeVar

from bench.grid.children import Child, start_child
from datasets.processes import follow_parent
from reports.records.text import shorten_text

LONGEST = 2000  # letters of a sentence
ANSWER_ALL = "bench.grid.answers:answer_all"
JobT = TypeVar("JobT")


@dataclass(frozen=True)
class Refusal:
    """The code says no: it has raised a ValueError."""

    sentence: str


@dataclass(frozen=True)
class NoAnswer:
    """The code has neither said yes nor no: it has raised, ended its process, or not returned."""

    sentence: str


@dataclass(frozen=True)
class Answer(Generic[JobT]):
    """A job, and what its function has returned, or why it has not."""

    job: JobT
    value: Any


def ask(function: str, job: Any) -> Any:
    """Return what a function, as in `iter_answers`, answers to one job; what it prints is shown.

    Raises: ValueError with its sentence if it refuses, or with the reason why there is no answer.
    """
    (answer,) = iter_answers(function, [job], inf, is_silent=False)
    value = answer.value
    if isinstance(value, Refusal | NoAnswer):
        raise ValueError(value.sentence)
    return value


def answer_by_forks() -> None:
    """Import torch here, for a command that needs it anyway: its answers are forks of this process.

    The imports of the fork server would come on top of its own.
    """
    import_module("torch")


def iter_answers(
    function: str, jobs: Sequence[JobT], patience_s: float, *, is_silent: bool = True
) -> Iterator[Answer[JobT]]:
    """Yield the answer to each job, in their order, from one child process.

    After a job that ends the process, or that does not return, another one does the rest.

    Args:
        function: takes a job and returns the answer; given as "module:name".
        jobs: what is asked.
        patience_s: for each answer; the imports of the child are not counted.
        is_silent: what the function prints goes nowhere.
    """
    left = list(jobs)
    while left:
        child = _start(function, left, is_silent)
        try:
            _await_imports(child)
            while left:
                job = left.pop(0)
                value = _receive(child, patience_s)
                yield Answer(job, value.sent if isinstance(value, _Sent) else value)
                if not isinstance(value, _Sent):
                    break
        finally:
            child.process.kill()
            child.process.join()
            child.messages.close()


def _start(*needs: Any) -> Child:
    """Start a child: a fork if torch is imported here and the system can fork safely."""
    if sys.platform != "linux" or "torch" not in sys.modules:
        return start_child(ANSWER_ALL, *needs, name="answers")
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_main, args=(*needs, sender), name="answers")
    process.start()
    sender.close()
    return Child(process, receiver)


def _main(function: str, jobs: Sequence[Any], is_silent: bool, messages: Connection) -> None:
    import torch

    follow_parent()
    torch.set_num_threads(1)  # a fork has none of the threads that wait for work
    answer_all(function, jobs, is_silent, lambda *message: messages.send(message))


def answer_all(
    function: str, jobs: Sequence[Any], is_silent: bool, send: Callable[..., None]
) -> None:
    """Send what the function, given as "module:name", returns for each job, or how it raises.

    The first message has nothing in it: imports are done.
    """
    send()
    with _silenced() if is_silent else nullcontext():
        for job in jobs:
            send(_answer(resolve_name(function), job))


@contextmanager
def _silenced() -> Iterator[None]:
    """Print nothing within the block, nor after it where the system's own streams are used."""
    with Path(os.devnull).open("w", encoding="utf-8") as silence:
        os.dup2(silence.fileno(), 1)
        os.dup2(silence.fileno(), 2)
        with redirect_stdout(silence), redirect_stderr(silence):
            yield


@dataclass(frozen=True)
class _Sent:
    sent: Any


def _await_imports(child: Child) -> None:
    with suppress(EOFError):  # the first answer tells that the process has ended
        child.messages.recv()


def _receive(child: Child, patience_s: float) -> _Sent | NoAnswer:
    if not child.messages.poll(None if patience_s == inf else patience_s):
        return NoAnswer(f"has not returned within {patience_s:g} s")
    try:
        (value,) = child.messages.recv()
    except EOFError:
        return NoAnswer(f"its process {child.describe_end()}")
    return _Sent(value)


def _answer(function: Callable[[Any], Any], job: Any) -> Any:
    try:
        return function(job)
    except ValueError as error:
        return Refusal(shorten_text(str(error), LONGEST))
    except BaseException as error:  # also sys.exit and KeyboardInterrupt, which mean nothing here
        text = shorten_text(str(error), LONGEST)
        return NoAnswer(f"{type(error).__name__}: {text}")
