"""In the CT phantoms the place of a voxel tells a lesion from its mimics, its value does not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage, stats

from datasets.phantoms import anatomy
from datasets.phantoms.anatomy import LESION, Patient
from datasets.phantoms.canvas import Canvas
from datasets.phantoms.write import draw_patient

N_PATIENTS = 24
TUMOUR = 2  # class of both data sets


@cache
def draw_scenes(name: str) -> list[tuple[Patient, np.ndarray]]:
    """Return patients, each with the tissue of every voxel, uint8 (D, H, W)."""
    canvases: list[Canvas] = []
    render = anatomy.render
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            anatomy,
            "render",
            lambda canvas, *rest: canvases.append(canvas) or render(canvas, *rest),
        )
        patients = [draw_patient(name, index) for index in range(N_PATIENTS)]
    return [(patient, canvas.tissues) for patient, canvas in zip(patients, canvases, strict=True)]


@pytest.mark.parametrize("name", ["kits", "lits"])
def test_no_single_voxel_tells_a_lesion_from_its_mimics(name):
    """A lesion's voxel is brighter than a mimic's with a chance of a half, in the mean of patients.

    One patient's chance scatters by 0.12 about it, since a texture has few independent patches in a
    lesion; the mean of 24 by 0.025, of which 0.06 is more than twice. Voxels at a border hold both
    neighbours and are left out.
    """
    chances = []
    for patient, tissues in draw_scenes(name):
        inner = ndimage.binary_erosion(tissues == LESION)
        lesion, mimic = (
            patient.image[0][inner & side]
            for side in (patient.classes == TUMOUR, patient.classes != TUMOUR)
        )
        assert min(lesion.size, mimic.size) > 50
        chances.append(stats.mannwhitneyu(lesion, mimic).statistic / (lesion.size * mimic.size))
    assert np.mean(chances) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("name", ["kits", "lits"])
def test_mimics_have_about_twice_the_volume_of_lesions(name):
    lesions = sum((patient.classes == TUMOUR).sum() for patient, _ in draw_scenes(name))
    alike = sum((tissues == LESION).sum() for _, tissues in draw_scenes(name))
    assert 1.8 < alike / lesions - 1 < 3


@pytest.mark.parametrize("name", ["kits", "lits"])
def test_a_lesion_lies_on_its_organ_and_mimics_keep_off_it(name):
    of_organ, of_mimic = [], []
    for patient, tissues in draw_scenes(name):
        lesion = patient.classes == TUMOUR
        around = ndimage.binary_dilation(lesion) & ~lesion
        of_organ.append((patient.classes[around] == 1).mean())
        of_mimic.append((tissues[around] == LESION).mean())
    assert min(of_organ) > 0.1
    assert np.mean(of_mimic) < 0.02


def test_nothing_but_a_tumour_lies_close_to_a_kidney():
    for patient, tissues in draw_scenes("kits"):
        kidneys = patient.classes > 0
        around = ndimage.binary_dilation(kidneys) & ~kidneys
        assert (tissues[around] == LESION).mean() < 0.03
