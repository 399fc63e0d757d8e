import pytest

from reports.records.edges import LOWER, UPPER, find_edge


def searched(low=0.0, high=0.0, choices=(), *, log=False, limits=(False, False)):
    return {
        "choices": list(choices),
        "low": low,
        "high": high,
        "log": log,
        "low_is_limit": limits[0],
        "high_is_limit": limits[1],
    }


@pytest.mark.parametrize(
    ("dimension", "value", "edge"),
    [
        (searched(1e-5, 1e-1, log=True), 1.2e-5, LOWER),  # 2 % of the range in its scale
        (searched(1e-5, 1e-1, log=True), 1.3e-5, ""),  # 2.8 %
        (searched(1e-5, 1e-1, log=True), 0.09, UPPER),
        (searched(1e-5, 1e-1, log=True), 1e-3, ""),
        (searched(0.0, 0.3), 0.296, UPPER),
        (searched(0.0, 0.3), 0.28, ""),
        (searched(0.0, 0.3), 0.001, LOWER),
        (searched(0.0, 0.3, limits=(True, False)), 0.0, ""),  # no warm-up is a fair end
        (searched(0.0, 0.3, limits=(True, False)), 0.3, UPPER),
        (searched(choices=(8, 4, 16)), 16, UPPER),
        (searched(choices=(8, 4, 16)), 4, LOWER),
        (searched(choices=(8, 4, 16)), 8, ""),
        (searched(choices=(0.0, 0.1), limits=(True, False)), 0.0, ""),
        (searched(choices=(8,)), 8, ""),  # nothing was searched
        (searched(choices=(False, True)), True, ""),
        (searched(choices=("own", "0.0", "0.2")), "0.2", ""),
    ],
)
def test_an_edge_is_an_outermost_value_that_the_setting_could_exceed(dimension, value, edge):
    assert find_edge(dimension, value) == edge
