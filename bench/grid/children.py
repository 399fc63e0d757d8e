"""Child processes that compute: they start fast, send messages, and end with the parent.

They come from a fork server that has imported the heavy libraries once. Each is a process of its
own, unlike those of the pools for cases and figures: it may be killed without the others.
"""

import multiprocessing
import signal
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from bench.run.interruption import EXIT_INTERRUPTED, interruptible
from bench.run.watch.log_file import output_in
from datasets.locks import Lock
from datasets.processes import follow_parent, stop_processes

PRELOADED = ["datasets.fork_server", "bench.run.execute"]
CHECKPOINT_S = 25.0  # for the end of a step and a checkpoint; Slurm kills after 30 s
LONGEST_WAIT_S = 3600.0  # the system's timers take no more than some days


@dataclass(frozen=True)
class Child:
    """A process at work. ``messages`` raises EOFError as soon as the child has ended."""

    process: BaseProcess
    messages: Connection

    def kill(self) -> None:
        """End the process at once; what it was computing is not wanted any more."""
        self.process.kill()
        self.process.join()

    def interrupt(self) -> None:
        """Let the process write a checkpoint and end; kill it if that takes too long."""
        stop_processes([self.process], CHECKPOINT_S)

    @property
    def is_interrupted(self) -> bool:
        """Whether the process has ended because it was asked to. Waits for its end."""
        self.process.join()
        return self.process.exitcode == EXIT_INTERRUPTED

    def describe_end(self) -> str:
        """Wait for the end of the process and return it as the end of a sentence."""
        self.process.join()
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"ended with exit code {code}"
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        return f"was killed by {signal.Signals(-code).name}{hint}"


def start_server() -> None:
    """Start the server that children come from.

    It ends with the thread that starts it: call this before other threads start children.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()


def start_child(
    function: str,
    *arguments: Any,
    name: str,
    lock: Lock | None = None,
    log_file: Path | None = None,
) -> Child:
    """Start a function, given as "module:name" and imported in the child only, in a process.

    Its last argument is a function that sends its own arguments to ``Child.messages`` as a tuple.
    The child holds the lock until its end, also if this process is killed. What it prints is
    appended to the log.
    """
    start_server()
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    needs = (function, arguments, sender, lock, log_file)
    process = context.Process(target=_child_main, args=needs, name=name)
    process.start()
    sender.close()  # now only the child holds the sending end, and its death closes it
    return Child(process, receiver)


def _child_main(
    function: str,
    arguments: tuple[Any, ...],
    messages: Connection,
    lock: Lock | None,
    log_file: Path | None,
) -> None:
    follow_parent()
    with output_in(log_file) if log_file is not None else nullcontext(), interruptible():
        target = resolve_name(function)
        target(*arguments, lambda *message: messages.send(message))
