"""Questions that are answered by code which may raise, end its process, or never return."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Generic, TypeVar

import torch

from bench.grid.children import Child, start_child
from datasets.processes import follow_parent
from reports.records.text import shorten_text

LONGEST = 2000  # letters of a sentence
JobT = TypeVar("JobT")


@dataclass(frozen=True)
class Refusal:
    """The code says no: it has raised a ValueError."""

    sentence: str


@dataclass(frozen=True)
class NoAnswer:
    """The code has neither said yes nor no: it has raised, ended its process, or not returned."""

    sentence: str
    is_exception: bool = False


@dataclass(frozen=True)
class Answer(Generic[JobT]):
    """A job, and what its function has returned, or why it has not."""

    job: JobT
    value: Any


def iter_answers(function: str, jobs: Sequence[JobT], patience_s: float) -> Iterator[Answer[JobT]]:
    """Yield the answer to each job, in their order, from one child process.

    After a job that ends the process, or that does not return, another one does the rest.

    Args:
        function: takes a job and returns the answer; given as "module:name".
        jobs: what is asked.
        patience_s: for each answer.
    """
    left = list(jobs)
    while left:
        child = _start(function, left)
        try:
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


def _start(function: str, jobs: Sequence[Any]) -> Child:
    """Start a child with the libraries that are imported here, where the system can fork safely."""
    if sys.platform != "linux":
        return start_child("bench.grid.answers:answer_all", function, jobs, name="answers")
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_main, args=(function, jobs, sender), name="answers")
    process.start()
    sender.close()
    return Child(process, receiver)


def _main(function: str, jobs: Sequence[Any], messages: Connection) -> None:
    follow_parent()
    torch.set_num_threads(1)  # a fork has none of the threads that wait for work
    answer_all(function, jobs, lambda *message: messages.send(message))


def answer_all(function: str, jobs: Sequence[Any], send: Callable[..., None]) -> None:
    """Send what the function, given as "module:name", returns for each job, or how it raises.

    What it prints goes nowhere.
    """
    with Path(os.devnull).open("w", encoding="utf-8") as silence:
        os.dup2(silence.fileno(), 1)
        os.dup2(silence.fileno(), 2)
        with redirect_stdout(silence), redirect_stderr(silence):
            for job in jobs:
                send(_answer(resolve_name(function), job))


@dataclass(frozen=True)
class _Sent:
    sent: Any


def _receive(child: Child, patience_s: float) -> _Sent | NoAnswer:
    if not child.messages.poll(patience_s):
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
        return NoAnswer(f"{type(error).__name__}: {text}", isinstance(error, Exception))
