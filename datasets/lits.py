"""LiTS: contrast-enhanced CT of livers with lesions, as published and as task 3 of the Medical Segmentation Decathlon.

Volumes are paired with their labels on the number, wherever they lie; ``test-volume-0.nii`` has no
label. Volumes 28 to 47 carry no spacing: their headers say 1 mm and the identity. Intensities are
clipped and scaled with foreground constants that circulate for this data set.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import ClassVar

from datasets.base import Region, Release, Window
from datasets.layouts.released import ReleasedDataset

WINDOW = Window(low_hu=-20.0, high_hu=210.0, mean_hu=99.40, std_hu=39.36)
UNSCALED = range(28, 48)  # they come from another collection, without their geometry

LITS = Release(
    name="lits",
    title="LiTS",
    files=(
        re.compile(
            r"(?:^|/)(?P<test>test-)?(?P<role>volume|segmentation)-(?P<number>\d+)\.nii(?:\.gz)?$"
        ),
    ),
    case_id="{test}volume-{number}",
    patient_id="{test}volume-{number}",
    channels={"ct": ("volume",)},
    label_roles=("segmentation",),
    classes=("background", "liver", "tumour"),
    label_values=(0, 1, 2),
    regions=(Region("liver", (1, 2)), Region("tumour", (2,))),
    layout="volume-0.nii[.gz] and segmentation-0.nii[.gz] at any depth",
    expects_label=re.compile(r"^volume-\d+ "),
    orphan_labels=True,
    spacing_unknown=frozenset(f"volume-{number}" for number in UNSCALED),
    exclude={"3dircadb": frozenset(f"volume-{number}" for number in UNSCALED)},
)
LITS_KAGGLE = replace(
    LITS,
    name="lits-kaggle",
    title="LiTS (Kaggle parts)",
    layout="volume_pt1/volume-0.nii[.gz] and segmentations/segmentation-0.nii[.gz]",
    clue=re.compile(r"(?:^|/)volume_pt\d+/"),
)
MSD03 = replace(
    LITS,
    name="msd03",
    title="MSD Task03 Liver",
    files=(
        re.compile(
            r"(?:^|/)(?P<role>imagesTr|imagesTs|labelsTr)/liver_(?P<number>\d+)\.nii(?:\.gz)?$"
        ),
    ),
    case_id="liver_{number}",
    patient_id="liver_{number}",
    channels={"ct": ("imagestr", "imagests")},
    label_roles=("labelstr",),
    layout="imagesTr/liver_0.nii.gz and labelsTr/liver_0.nii.gz",
    expects_label=re.compile("imagesTr/"),
    orphan_labels=False,
    spacing_unknown=frozenset(f"liver_{number}" for number in UNSCALED),
    exclude={"3dircadb": frozenset(f"liver_{number}" for number in UNSCALED)},
)


class Lits(ReleasedDataset):
    """Livers; 512 x 512 in plane, 42 to 1026 slices."""

    name: ClassVar[str] = "lits"
    title: ClassVar[str] = "LiTS"
    reference: ClassVar[str] = "Bilic et al. 2023, Medical Image Analysis 84:102680"
    modality: ClassVar[str] = "CT"
    window: ClassVar[Window | None] = WINDOW
    releases: ClassVar[tuple[Release, ...]] = (LITS, LITS_KAGGLE, MSD03)
