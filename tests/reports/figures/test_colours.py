"""Colours stay apart in grey and for colour-blind readers; contours are seen on any grey.

Colour blindness is simulated as by Machado, Oliveira & Fernandes 2009, IEEE Transactions on
Visualization and Computer Graphics 15:1291-1298 (severity 1). Distances are those of CIELAB: 2 is
just seen by neighbours, 10 is clear.
"""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from reports.figures.panels import REGION_COLOURS
from reports.figures.style import COLOURS
from reports.names import FAMILIES

TO_XYZ = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])
SIGHTS = {
    "usual": np.eye(3),
    "protan": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deutan": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritan": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
WHITE = TO_XYZ.sum(axis=1)


def find_lab(colour: str, sight: str = "usual") -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(TO_XYZ @ np.clip(SIGHTS[sight] @ linear, 0, 1) / WHITE)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_each_family_has_a_colour() -> None:
    assert len(COLOURS) == len(set(COLOURS)) == len(FAMILIES)


def test_families_stay_apart_in_grey_print() -> None:
    lightness = sorted(float(find_lab(colour)[0]) for colour in COLOURS)
    assert np.diff(lightness).min() > 6
    assert lightness[-1] < 82, "seen on white paper"


@pytest.mark.parametrize("sight", SIGHTS)
def test_families_stay_apart_for_every_reader(sight: str) -> None:
    for one, two in combinations(COLOURS, 2):
        assert np.linalg.norm(find_lab(one, sight) - find_lab(two, sight)) > 20, (one, two)


@pytest.mark.parametrize("sight", SIGHTS)
def test_regions_stay_apart_and_off_every_grey(sight: str) -> None:
    for colour in REGION_COLOURS:
        assert np.linalg.norm(find_lab(colour, sight)[1:]) > 30, "the distance to the nearest grey"
    for one, two in combinations(REGION_COLOURS, 2):
        assert np.linalg.norm(find_lab(one, sight) - find_lab(two, sight)) > 20, (one, two)
