"""Child processes that compute: they start fast, speak through a pipe, and neither outlive nor take along the parent.

They come from a fork server that has imported the heavy libraries once, so that a child starts in
well under a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

PRELOADED = ["bench.run.execute"]


@dataclass(frozen=True)
class Child:
    """A process at work. ``messages`` raises EOFError as soon as the child has ended, one way or the other."""

    process: BaseProcess
    messages: Connection

    def stop(self) -> None:
        """End the process at once and wait for its end."""
        self.process.terminate()
        self.process.join()

    def describe_end(self) -> str:
        """Return how the process ended, as the end of a sentence about it; waits for the end."""
        self.process.join()
        code = self.process.exitcode
        cause = (
            f"was killed by {signal.Signals(-code).name}"
            if code and code < 0
            else f"ended with exit code {code}"
        )
        return cause + (" (out of memory?)" if code == -signal.SIGKILL else "")


def start_child(function: str, *arguments: Any, name: str) -> Child:
    """Start ``function``, given as "module:name", with the arguments and, last, a function that sends to ``messages``.

    The module is imported in the child only: it may be heavy.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child_main, args=(function, arguments, sender), name=name)
    process.start()
    sender.close()  # now only the child holds the sending end, and its death closes it
    return Child(process, receiver)


def _child_main(function: str, arguments: tuple[Any, ...], messages: Connection) -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_die_with_parent, daemon=True).start()
    module, _, attribute = function.partition(":")
    target: Callable[..., object] = getattr(import_module(module), attribute)
    target(*arguments, messages.send)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
