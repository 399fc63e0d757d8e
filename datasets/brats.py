"""BraTS: four MRI modalities of a brain with a glioma.

Values of the label files differ: 4 is the enhancing tumour up to 2021 and the resection cavity in
2024. The classes are the same everywhere. Channel order and intensities are those of Med-Tuning
(Shen et al., MIDL 2024): z-score of each modality within one mask for all four, background 0.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import ClassVar

from datasets.base import Region, Release
from datasets.layouts.released import ReleasedDataset

CLASSES = ("background", "necrosis", "oedema", "enhancing")
REGIONS = (Region("WT", (1, 2, 3)), Region("TC", (1, 3)), Region("ET", (3,)))
TRAINING_FOLDER = re.compile(r"(?:HGG|LGG|[Tt]rain\w*)/")
OLD_ROLE = r"_(?P<role>flair|fla|t1ce|t1c|t1|t2|seg)\.nii(?:\.gz)?$"  # fla and t1c: early copies
NEW_ROLE = r"-(?P<role>t2f|t1c|t1n|t2w|seg)\.nii(?:\.gz)?$"

BRATS2020 = Release(
    name="brats2020",
    title="BraTS 2020",
    files=(
        re.compile(rf"(?:^|/)BraTS20_(?P<part>Training|Validation)_(?P<number>\d+){OLD_ROLE}"),
        # the one label of the release that kept its working name
        re.compile(
            r"(?:^|/)BraTS20_(?P<part>Training)_(?P<number>355)/W39_1998\.09\.19_(?P<role>Segm)\.nii(?:\.gz)?$"
        ),
    ),
    case_id="BraTS20_{part}_{number:03d}",
    patient_id="BraTS20_{part}_{number:03d}",
    channels={"flair": ("flair", "fla"), "t1ce": ("t1ce", "t1c"), "t1": ("t1",), "t2": ("t2",)},
    label_roles=("seg", "segm"),
    classes=CLASSES,
    label_values=(0, 1, 2, 4),
    regions=REGIONS,
    layout="BraTS20_Training_001_{flair,t1ce,t1,t2,seg}.nii[.gz] at any depth",
    case_folder=re.compile(r"BraTS20_(?:Training|Validation)_\d+"),
    expects_label=re.compile("^BraTS20_Training"),
)
BRATS2019 = replace(
    BRATS2020,
    name="brats2019",
    title="BraTS 2019",
    files=(
        re.compile(rf"(?:^|/)(?P<patient>(?i:BraTS)19_[A-Za-z0-9]+_\w+?)_(?P<visit>\d+){OLD_ROLE}"),
    ),
    case_id="{patient}_{visit}",
    patient_id="{patient}",
    layout="BraTS19_CBICA_AAB_1_{flair,t1ce,t1,t2,seg}.nii[.gz] at any depth",
    case_folder=re.compile(r"(?i:BraTS)19_[A-Za-z0-9]+_\w+_\d+"),
    expects_label=TRAINING_FOLDER,
)
BRATS2018 = replace(
    BRATS2019,
    name="brats2018",
    title="BraTS 2018",
    files=(
        re.compile(rf"(?:^|/)(?P<patient>(?i:BraTS)18_[A-Za-z0-9]+_\w+?)_(?P<visit>\d+){OLD_ROLE}"),
    ),
    layout="Brats18_CBICA_AAB_1_{flair,t1ce,t1,t2,seg}.nii[.gz] at any depth",
    case_folder=re.compile(r"(?i:BraTS)18_[A-Za-z0-9]+_\w+_\d+"),
)
BRATS2021 = replace(
    BRATS2020,
    name="brats2021",
    title="BraTS 2021",
    files=(re.compile(rf"(?:^|/)BraTS2021_(?P<number>\d+){OLD_ROLE}"),),
    case_id="BraTS2021_{number:05d}",
    patient_id="BraTS2021_{number:05d}",
    layout="BraTS2021_00000_{flair,t1ce,t1,t2,seg}.nii[.gz] at any depth",
    case_folder=re.compile(r"BraTS2021_\d+"),
    expects_label=TRAINING_FOLDER,
)
FETS2022 = replace(
    BRATS2021,
    name="fets",
    title="FeTS 2021/2022",
    files=(
        re.compile(
            rf"(?:^|/)(?P<case>FeTS\d+(?:_Training|_Validation)?_\d+)(?:_brain)?(?:_final)?{OLD_ROLE}"
        ),
    ),
    case_id="{case}",
    patient_id="{case}",
    layout="FeTS2022_00000[_brain]_{flair,t1ce,t1,t2,[final_]seg}.nii[.gz] at any depth",
    case_folder=re.compile(r"FeTS\d+(?:_Training|_Validation)?_\d+"),
)
BRATS2023 = replace(
    BRATS2021,
    name="brats2023",
    title="BraTS 2023 GLI",
    files=(re.compile(rf"(?:^|/)BraTS-GLI-(?P<number>\d+)-(?P<timepoint>0\d\d){NEW_ROLE}"),),
    case_id="BraTS-GLI-{number:05d}-{timepoint:03d}",
    patient_id="BraTS-GLI-{number:05d}",
    channels={"flair": ("t2f",), "t1ce": ("t1c",), "t1": ("t1n",), "t2": ("t2w",)},
    label_values=(0, 1, 2, 3),
    layout="BraTS-GLI-00000-000-{t2f,t1c,t1n,t2w,seg}.nii[.gz] at any depth",
    case_folder=re.compile(r"BraTS-GLI-\d+-\d+"),
)
BRATS2024 = replace(
    BRATS2023,
    name="brats2024",
    title="BraTS 2024 GLI (post-treatment)",
    files=(re.compile(rf"(?:^|/)BraTS-GLI-(?P<number>\d+)-(?P<timepoint>[1-9]\d\d){NEW_ROLE}"),),
    classes=(*CLASSES, "resection cavity"),
    label_values=(0, 1, 2, 3, 4),
    regions=(*REGIONS, Region("RC", (4,))),
    layout="BraTS-GLI-00000-100-{t2f,t1c,t1n,t2w,seg}.nii[.gz] at any depth",
)
MSD01 = Release(
    name="msd01",
    title="MSD Task01 BrainTumour",
    files=(
        re.compile(
            r"(?:^|/)(?P<role>imagesTr|imagesTs|labelsTr)/BRATS_(?P<number>\d+)\.nii(?:\.gz)?$"
        ),
    ),
    case_id="BRATS_{number:03d}",
    patient_id="BRATS_{number:03d}",
    channels=dict.fromkeys(("flair", "t1ce", "t1", "t2"), ("imagestr", "imagests")),
    stack=(0, 2, 1, 3),  # stored as FLAIR, T1w, t1gd, T2w
    label_roles=("labelstr",),
    classes=CLASSES,
    label_values=(0, 2, 1, 3),  # stored as 1 oedema, 2 non-enhancing, 3 enhancing
    regions=REGIONS,
    layout="imagesTr/BRATS_001.nii.gz (one 4-D file a case) and labelsTr/BRATS_001.nii.gz",
    expects_label=re.compile("imagesTr/"),
)


class Brats(ReleasedDataset):
    """Gliomas; 240 x 240 x 155 voxels of 1 mm, skull-stripped and co-registered."""

    name: ClassVar[str] = "brats"
    title: ClassVar[str] = "BraTS"
    reference: ClassVar[str] = (
        "Menze et al. 2015, IEEE TMI 34(10):1993-2024; Bakas et al. 2018, arXiv 1811.02629"
    )
    modality: ClassVar[str] = "MRI"
    releases: ClassVar[tuple[Release, ...]] = (
        BRATS2020,
        BRATS2018,
        BRATS2019,
        BRATS2021,
        BRATS2023,
        BRATS2024,
        FETS2022,
        MSD01,
    )
