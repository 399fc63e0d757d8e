"""Imported first by fork servers, so that they end with the process that has started them.

They would notice its end by themselves, but not while they import the libraries of their children.
Nor would they leave Ctrl-C to it then. Signals to the whole group are for their children: without
its fork server, a process does not see how its children end.
Nor do they look for garbage meanwhile, which takes a fifth of the time of imports. Their children
do, but not among what was imported, which stays shared memory.
This is the one module whose import does something, and only in a fork server.
"""

import gc
import os
import signal
import sys

from datasets.processes import GROUP_SIGNALS, follow_starter


def _collect_garbage() -> None:
    gc.freeze()
    gc.enable()


if any("multiprocessing.forkserver" in argument for argument in sys.orig_argv):
    follow_starter()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group
    signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
    gc.disable()
    os.register_at_fork(after_in_child=_collect_garbage)
