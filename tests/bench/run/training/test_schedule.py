import math

import pytest

from bench.run.training.schedule import Schedule, medtuning_factor
from bench.specs.protocol import TrainSpec


def test_medtunings_warm_up_rises_by_one_minus_cosine_and_ends_above_zero():
    factors = [medtuning_factor(epoch, 250, 0.1) for epoch in range(250)]
    expected = [1 - math.cos(math.pi / 2 * (epoch + 1) / 25) for epoch in range(25)]
    expected += [(math.cos(math.pi * (epoch - 25) / 250) + 1) / 2 for epoch in range(25, 250)]
    assert factors == pytest.approx(expected, abs=1e-12)
    assert factors[24] == pytest.approx(1)
    assert factors[249] == pytest.approx(0.0264, abs=1e-4)


def test_medtunings_rate_changes_with_the_epoch_and_not_with_the_step():
    spec = TrainSpec(epochs=4, warmup_frac=0.5, schedule="medtuning", accumulate=2)
    schedule = Schedule(spec, batches_per_epoch=5)
    assert (schedule.steps_per_epoch, schedule.n_steps, schedule.epochs) == (3, 12, 4)
    factors = [schedule.factor(step) for step in range(12)]
    assert [len(set(factors[first : first + 3])) for first in (0, 3, 6, 9)] == [1] * 4
    assert factors[::3] == [medtuning_factor(epoch, 4, 0.5) for epoch in range(4)]


def test_steps_are_optimiser_steps_and_the_last_one_of_an_epoch_may_have_fewer_batches():
    schedule = Schedule(TrainSpec(epochs=3, accumulate=8, max_steps=40), batches_per_epoch=134)
    assert (schedule.steps_per_epoch, schedule.n_steps, schedule.epochs) == (17, 40, 3)
    counts = [schedule.count_batches(first) for first in range(0, 134, 8)]
    assert counts == [8] * 16 + [6]
