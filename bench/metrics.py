"""Dice and the 95th-percentile Hausdorff distance per case and region, with every empty mask decided in one table.

The Hausdorff distance is the larger of the two directed 95th percentiles (linear interpolation) between the 6-connected
surfaces, in mm. Other tools pool the two directions or weight by surface area; their numbers differ, so a table must
name this variant.

Reference: Taha & Hanbury 2015, BMC Medical Imaging 15:29.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bench.results import CaseScore
from datasets.base import DatasetInfo, Region

FACES = ndimage.generate_binary_structure(rank=3, connectivity=1)


@dataclass(frozen=True)
class EmptyPolicy:
    """What the Hausdorff distance is where a mask is empty. Dice needs no policy: 1 if both are empty, 0 if one is."""

    hd95_both_empty_mm: float
    hd95_one_empty_mm: float


UNDEFINED = EmptyPolicy(hd95_both_empty_mm=float("nan"), hd95_one_empty_mm=float("nan"))

EMPTY_POLICIES = {
    # The challenge's rule up to 2022: a miss costs the diagonal of its 240 x 240 x 155 mm volumes.
    "brats": EmptyPolicy(hd95_both_empty_mm=0.0, hd95_one_empty_mm=373.12866),
    # These challenges rank no Hausdorff distance, and volumes of all sizes offer no penalty: Dice 0 carries the miss.
    "kits": UNDEFINED,
    "lits": UNDEFINED,
}


def score_case(
    case_id: str,
    prediction: np.ndarray,
    reference: np.ndarray,
    info: DatasetInfo,
    spacing_mm: tuple[float, float, float],
) -> list[CaseScore]:
    """Return one score per region of ``info``.

    ``prediction`` and ``reference`` are maps of training classes, integers (D, H, W). The empty policy is the
    data set's entry in `EMPTY_POLICIES`; a data set that has none leaves the distance to an empty mask undefined (nan).

    Raises: ValueError if the shapes differ or a spacing is not positive.
    """
    policy = EMPTY_POLICIES.get(info.name, UNDEFINED)
    scores = []
    for region in info.regions:
        predicted, wanted = region_mask(prediction, region), region_mask(reference, region)
        scores.append(
            CaseScore(
                case=case_id,
                region=region.name,
                dice=dice(predicted, wanted),
                hd95_mm=hausdorff_95(predicted, wanted, spacing_mm, policy),
                n_reference_vox=int(np.count_nonzero(wanted)),
                n_predicted_vox=int(np.count_nonzero(predicted)),
            )
        )
    return scores


def region_mask(class_map: np.ndarray, region: Region) -> np.ndarray:
    """Return where a class map (D, H, W) shows any class of the region, as bool (D, H, W)."""
    return np.isin(class_map, region.classes)


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Return the Dice coefficient of two boolean masks of equal shape: 1 if both are empty, 0 if exactly one is.

    Raises: ValueError if the shapes differ.
    """
    _check_shapes(prediction, reference)
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    return 2 * np.count_nonzero(prediction & reference) / total if total else 1.0


def hausdorff_95(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Sequence[float],
    policy: EmptyPolicy = UNDEFINED,
) -> float:
    """Return the larger of the two directed 95th-percentile surface distances, in mm.

    Masks are boolean (D, H, W), spacing is (D, H, W). Empty masks follow ``policy``. Voxels at the edge of the volume
    count as surface. Takes time and memory in proportion to the bounding box of both masks together.

    Raises: ValueError if the shapes differ or a spacing is not positive.
    """
    _check_shapes(prediction, reference)
    if len(spacing_mm) != 3 or not all(step > 0 for step in spacing_mm):
        raise ValueError(f"hd95: spacing must be three positive lengths in mm, got {tuple(spacing_mm)}")
    n_empty = (not prediction.any()) + (not reference.any())
    if n_empty:
        return policy.hd95_both_empty_mm if n_empty == 2 else policy.hd95_one_empty_mm
    # Outside this box there is no object, which is also what the erosion assumes beyond its edge: it needs no padding.
    box = ndimage.find_objects((prediction | reference).astype(np.uint8))[0]
    predicted, wanted = _surface(prediction[box]), _surface(reference[box])
    return max(_directed_95(predicted, wanted, spacing_mm), _directed_95(wanted, predicted, spacing_mm))


def _surface(mask: np.ndarray) -> np.ndarray:
    surface: np.ndarray = mask & ~ndimage.binary_erosion(mask, FACES, border_value=0)
    return surface


def _directed_95(start: np.ndarray, end: np.ndarray, spacing_mm: Sequence[float]) -> float:
    distance_mm = ndimage.distance_transform_edt(~end, sampling=spacing_mm)
    return float(np.percentile(distance_mm[start], 95))


def _check_shapes(prediction: np.ndarray, reference: np.ndarray) -> None:
    if prediction.shape != reference.shape or prediction.ndim != 3:
        shapes = f"{prediction.shape} and {reference.shape}"
        raise ValueError(f"metrics: prediction and reference must be (D, H, W) of equal shape, got {shapes}")
