"""LiTS: contrast-enhanced CT of livers with lesions.

The data as published, and as task 3 of the Medical Segmentation Decathlon (MSD).
Volumes are paired with labels by number, in any folder; ``test-volume-0.nii`` has no label. Volumes
28 to 47 come from another collection and carry no spacing: their headers say 1 mm and the identity.
Of 3D-IRCADb, which that collection is, reports name two sets: the preset leaves out all of both.
Intensities are clipped and scaled with foreground constants that circulate for this data set.
"""

from dataclasses import replace

from datasets.base import Region, Release, Window
from datasets.layouts.released import ReleasedDataset

UNSCALED = range(28, 48)
# JunMa11/AbdomenCT-1K#27 names 28 to 47, assassint2017/MICCAI-LITS2017#33 28 to 44 and 46 to 48:
IRCADB = range(28, 49)
UNSCALED_LITS = frozenset(f"volume-{number}" for number in UNSCALED)
UNSCALED_MSD = frozenset(f"liver_{number}" for number in UNSCALED)

LITS = Release(
    name="lits17",
    title="LiTS",
    files=(r"(?P<test>test-)?(?P<role>volume|segmentation)-(?P<number>\d+)",),
    case_id="{test}volume-{number}",
    channels={"ct": ("volume",)},
    label_roles=("segmentation",),
    classes=("background", "liver", "tumour"),
    label_values=(0, 1, 2),
    regions=(Region("liver", (1, 2)), Region("tumour", (2,))),
    layout="volume-0.nii[.gz] and segmentation-0.nii[.gz] at any depth",
    expects_label=r"^volume-\d+ ",
    orphan_labels=True,
    spacing_unknown=UNSCALED_LITS,
    exclude={"3dircadb": frozenset(f"volume-{number}" for number in IRCADB)},
)
LITS_KAGGLE = replace(
    LITS,
    name="lits-kaggle",
    title="LiTS (Kaggle parts)",
    copy_of="lits17",
    layout="volume_pt1/volume-0.nii[.gz] and segmentations/segmentation-0.nii[.gz]",
    clue=r"(?:^|/)volume_pt\d+/",
)
MSD03 = replace(
    LITS,
    name="msd03",
    title="MSD Task03 Liver",
    files=(r"(?P<role>imagesTr|imagesTs|labelsTr)/liver_(?P<number>\d+)",),
    case_id="liver_{number}",
    channels={"ct": ("imagestr", "imagests")},
    label_roles=("labelstr",),
    layout="imagesTr/liver_0.nii.gz and labelsTr/liver_0.nii.gz",
    expects_label="imagesTr/",
    orphan_labels=False,
    spacing_unknown=UNSCALED_MSD,
    exclude={"3dircadb": frozenset(f"liver_{number}" for number in IRCADB)},
)


class Lits(ReleasedDataset):
    """Livers; 512 x 512 in plane, 42 to 1026 slices."""

    name = "lits"
    reference = "Bilic et al. 2023, Medical Image Analysis 84:102680"
    modality = "CT"
    window = Window(low_hu=-20.0, high_hu=210.0, mean_hu=99.40, std_hu=39.36)
    releases = (LITS, LITS_KAGGLE, MSD03)
