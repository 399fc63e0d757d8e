"""What every method promises, kept by peft's types; the slow tier prints a table of all."""

from __future__ import annotations

import sys
import time

import pytest

import methods
from bench.models.contract import PROMISES, Subject, train
from methods.bridge import registry

UNIT = ("peft:dora", "peft:adalora", "peft:vera", "peft:ln_tuning")
SWIN = ("peft:vblora", "peft:lily", "peft:oft", "peft:ln_tuning")
QUICK = {name: promise for name, promise in PROMISES.items() if name != "distinct"}
N_STEPS = 3


@pytest.mark.parametrize("name", UNIT)
def test_some_types_keep_every_promise(name):
    method = methods.build(name)
    faults = {promise: check(Subject(method)) for promise, check in QUICK.items()}
    assert not {promise: fault for promise, fault in faults.items() if fault}


@pytest.mark.slow
@pytest.mark.parametrize("name", SWIN)
def test_some_types_keep_every_promise_in_a_pyramid(name):
    subject = Subject(methods.build(name), "tiny_swin")
    faults = {promise: check(subject) for promise, check in QUICK.items()}
    assert not {promise: fault for promise, fault in faults.items() if fault}


@pytest.mark.slow
def test_all_types_keep_every_promise(capsys):
    rows = [describe(name) for name in registry.names()]
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(line for line, _ in rows) + "\n")
    assert len(rows) >= 25
    assert not [fault for _, faults in rows for fault in faults]


def describe(name):
    """Return the line of a type, and the promises that it breaks."""
    subject = Subject(methods.build(name))
    found = {promise: check(subject) for promise, check in QUICK.items()}
    model, info = subject.build_tuned(), subject.method.info
    n_tuned = sum(each.numel() for each in model.tuned_parameters().values())
    started = time.perf_counter()
    train(model, subject.make_volume(), N_STEPS)
    ms = 1000 * (time.perf_counter() - started) / N_STEPS
    start = "identity" if info.identity_at_init else "other start"
    merges = "merges" if info.mergeable else "does not merge"
    faults = [f"{name}: {promise}: {fault}" for promise, fault in found.items() if fault]
    line = f"{name:18} {n_tuned:8,} {start:12} {merges:15} {ms:6.0f} ms/step  "
    return line + ("passes" if not faults else "; ".join(faults)), faults
