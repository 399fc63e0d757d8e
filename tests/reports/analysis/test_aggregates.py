import math

import pytest

from reports.analysis.aggregates import Mean, aggregate_regions, mean_defined
from reports.records.run import CaseScore


def row(
    region: str, n_reference: int, n_predicted: int, n_common: int, dice: float, hd95_mm: float
) -> CaseScore:
    return CaseScore("a", region, dice, hd95_mm, n_reference, n_predicted, n_common, nsd=dice)


ROWS = [
    row("ET", 10, 10, 5, 0.5, 2.0),
    row("ET", 30, 10, 10, 0.5, 4.0),
    row("ET", 0, 0, 0, 1.0, 0.0),
    row("ET", 0, 4, 0, 0.0, 373.0),
    row("ET", 4, 0, 0, 0.0, 373.0),
    row("WT", 8, 8, 8, 1.0, 0.0),
]


def test_means_come_with_their_n_and_the_empties_are_counted():
    enhancing, whole = aggregate_regions(ROWS)
    assert (enhancing.region, enhancing.n_cases) == ("ET", 5)
    assert (enhancing.n_both_empty, enhancing.n_reference_empty, enhancing.n_prediction_empty) == (
        1,
        1,
        1,
    )
    assert enhancing.means["dice"].all == Mean(pytest.approx(0.4), 5)
    assert enhancing.means["dice"].non_empty == Mean(pytest.approx(1 / 3), 3)
    assert enhancing.means["hd95_mm"].non_empty == Mean(pytest.approx(379 / 3), 3)
    assert enhancing.means["nsd"].all == Mean(pytest.approx(0.4), 5)
    assert enhancing.global_dice == pytest.approx(
        2 * 15 / (44 + 24)
    )  # voxels of all cases together
    assert (whole.region, whole.n_cases, whole.n_both_empty, whole.global_dice) == ("WT", 1, 0, 1.0)


def test_what_is_not_defined_leaves_the_mean_and_its_n():
    undefined = [row("ET", 0, 0, 0, math.nan, math.nan), row("ET", 4, 4, 2, 0.5, math.nan)]
    (found,) = aggregate_regions(undefined)
    assert found.means["dice"].all == found.means["dice"].non_empty == Mean(0.5, 1)
    assert found.means["hd95_mm"].all.n == 0
    assert math.isnan(found.means["hd95_mm"].all.value)
    (nothing,) = aggregate_regions(undefined[:1])
    assert math.isnan(nothing.means["dice"].all.value)
    assert math.isnan(nothing.global_dice)


def test_mean_defined():
    assert mean_defined([1.0, math.nan, 2.0]) == Mean(1.5, 2)
    assert aggregate_regions([]) == []
