from itertools import pairwise

import pytest

from bench.training import lr_factor


def test_learning_rate_rises_then_falls_to_zero():
    factors = [lr_factor(step, 100, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == 1.0
    assert max(factors) == 1.0
    assert all(later < earlier for earlier, later in pairwise(factors[10:]))
    assert factors[55] == pytest.approx(0.5)
    assert factors[-1] < 0.001
