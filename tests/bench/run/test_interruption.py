"""Each signal of a time limit, a preemption or a cancellation ends a run with the same code."""

import signal
import subprocess
import sys

import pytest

from bench.run.interruption import EXIT_INTERRUPTED, SIGNALS

WAITING = """
import time
from bench.run.interruption import interruptible
with interruptible():
    print("ready", flush=True)
    time.sleep(30)
"""


@pytest.mark.parametrize("number", SIGNALS, ids=lambda each: each.name)
def test_a_signal_ends_the_process_with_the_code_of_an_interruption(number):
    command = [sys.executable, "-c", WAITING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(20) == EXIT_INTERRUPTED == 75


def test_the_signals_are_as_before_afterwards():
    from bench.run.interruption import interruptible

    before = signal.getsignal(signal.SIGTERM)
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
