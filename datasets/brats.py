"""BraTS: four MRI modalities of a brain with a tumour.

Values of the label files differ: 4 is the enhancing tumour up to 2021, the resection cavity from
2024 on, and oedema in children. The classes are the same everywhere. From 2023 on each tumour is a
task with files of its own name; what is no segmentation of four modalities is refused by its name.
Channel order and intensities are those of Med-Tuning (Shen et al., MIDL 2024): z-score of each
modality within one mask for all four, background 0.
"""

from dataclasses import replace

from datasets.base import Region, Release
from datasets.layouts.discovery import OtherTask
from datasets.layouts.released import ReleasedDataset

CLASSES = ("background", "necrosis", "oedema", "enhancing")
REGIONS = (Region("WT", (1, 2, 3)), Region("TC", (1, 3)), Region("ET", (3,)))
OLD_ROLE = r"_(?P<role>(?i:flair|fla|t1ce|t1c|t1|t2|seg))"  # fla and t1c: early copies
NEW_ROLE = r"-(?P<role>(?i:t2f|t1c|t1n|t2w|seg))"
TRAINING_FOLDER = r"(?:HGG|LGG|[Tt]rain\w*)/"


def _build_release(name: str, title: str, case: str, case_id: str, example: str) -> Release:
    """Return a release whose files are called as the case (a pattern) and the role."""
    return Release(
        name=name,
        title=title,
        files=(case + OLD_ROLE,),
        case_id=case_id,
        channels={"flair": ("flair", "fla"), "t1ce": ("t1ce", "t1c"), "t1": ("t1",), "t2": ("t2",)},
        label_roles=("seg", "segm"),
        classes=CLASSES,
        label_values=(0, 1, 2, 4),
        regions=REGIONS,
        layout=f"{example}_{{flair,t1ce,t1,t2,seg}}.nii[.gz] at any depth",
        case_folder=case,
        expects_label=TRAINING_FOLDER,
        spacing_mm=1.0,
    )


def _build_early_release(year: str, example: str) -> Release:
    """Return a release with the visit at the end of each case's name."""
    case = rf"(?P<patient>(?i:BraTS){year}_[A-Za-z0-9]+_\w+?)_(?P<visit>\d+)"
    name, title = f"brats20{year}", f"BraTS 20{year}"
    release = _build_release(name, title, case, "{patient}_{visit}", example)
    return replace(release, patient_id="{patient}")


def _build_new_release(name: str, title: str, task: str, timepoint: str = r"\d{3}") -> Release:
    """Return a release from 2023 on; ``timepoint`` is the pattern of its examinations."""
    case = rf"BraTS-{task}-(?P<number>\d+)-(?P<timepoint>{timepoint})"
    first = 100 if timepoint.startswith("[1-9]") else 0
    example = f"BraTS-{task}-00000-{first:03d}"
    old = _build_release(
        name, title, case, f"BraTS-{task}-{{number:05d}}-{{timepoint:03d}}", example
    )
    return replace(
        old,
        files=(case + NEW_ROLE,),
        patient_id=f"BraTS-{task}-{{number:05d}}",
        channels={"flair": ("t2f",), "t1ce": ("t1c",), "t1": ("t1n",), "t2": ("t2w",)},
        label_values=(0, 1, 2, 3),
        layout=f"{example}-{{t2f,t1c,t1n,t2w,seg}}.nii[.gz] at any depth",
        case_folder=rf"BraTS-{task}-\d+-\d+",
    )


def _add_cavity(release: Release) -> Release:
    """Return the release with the value 4 for the cavity that an operation leaves."""
    return replace(
        release,
        classes=(*CLASSES, "resection cavity"),
        label_values=(0, 1, 2, 3, 4),
        regions=(*REGIONS, Region("RC", (4,))),
    )


def _build_fets(year: str, example: str) -> Release:
    """Return a release of the Federated Tumor Segmentation challenge."""
    case = rf"(?P<case>FeTS(?:20)?{year}(?:_Training|_Validation)?_\d+)"
    release = _build_release(f"fets20{year}", f"FeTS 20{year}", case, "{case}", example)
    return replace(
        release,
        files=(rf"{case}(?:_brain)?(?:_final)?{OLD_ROLE}",),
        layout=f"{example}[_brain]_{{flair,t1ce,t1,t2,[final_]seg}}.nii[.gz] at any depth",
    )


BRATS2017 = _build_early_release("17", "Brats17_CBICA_AAB_1")
BRATS2018 = _build_early_release("18", "Brats18_CBICA_AAB_1")
BRATS2019 = _build_early_release("19", "BraTS19_CBICA_AAB_1")
CASE_2020 = r"BraTS20_(?P<part>Training|Validation)_(?P<number>\d+)"
LABEL_355 = r"BraTS20_(?P<part>Training)_(?P<number>355)/W39_1998\.09\.19_(?P<role>Segm)"
BRATS2020 = replace(
    _build_release(
        "brats2020", "BraTS 2020", CASE_2020, "BraTS20_{part}_{number:03d}", "BraTS20_Training_001"
    ),
    files=(CASE_2020 + OLD_ROLE, LABEL_355),  # one label kept its working name
    expects_label="^BraTS20_Training",
)
CASE_2021 = r"BraTS2021_(?P<number>\d+)"
BRATS2021 = _build_release(
    "brats2021", "BraTS 2021", CASE_2021, "BraTS2021_{number:05d}", "BraTS2021_00000"
)
BRATS2023 = _build_new_release("brats2023", "BraTS 2023 GLI", "GLI", r"0\d\d")
BRATS2024 = _add_cavity(
    _build_new_release("brats2024", "BraTS 2024 GLI post-treatment", "GLI", r"[1-9]\d\d")
)
BRATS2025 = _add_cavity(
    replace(
        _build_new_release("brats2025", "BraTS 2025 GLI pre- and post-treatment", "GLI"),
        layout="BraTS-GLI-00000-000 beside BraTS-GLI-00000-100, with files as in both",
        mixes=("brats2023", "brats2024"),
    )
)
SSA2023 = _build_new_release("ssa2023", "BraTS-Africa (SSA)", "SSA")
MEN2023 = _build_new_release("men2023", "BraTS 2023 MEN", "MEN")
MET2023 = _build_new_release("met2023", "BraTS 2023 MET", "MET")
MET2025 = replace(
    _add_cavity(_build_new_release("met2025", "BraTS 2025 MET", "MET")),
    spacing_mm=None,  # most of its cases are in their native space
)
PED2023 = replace(
    _build_new_release("ped2023", "BraTS 2023 PED", "PED"),
    must_be_named=True,  # 1 is the non-enhancing part, cysts included
)
PED2024 = replace(
    PED2023,
    name="ped2024",
    title="BraTS 2024 PED",
    classes=("background", "non-enhancing", "oedema", "enhancing", "cyst"),
    label_values=(0, 2, 4, 1, 3),
    regions=(
        Region("WT", (1, 2, 3, 4)),
        Region("TC", (1, 3, 4)),
        Region("ET", (3,)),
        Region("CC", (4,)),
    ),
)
GOAT2024 = replace(
    MEN2023,
    name="goat2024",
    title="BraTS 2024 GoAT",
    files=(r"BraTS-GoAT-(?P<number>\d+)" + NEW_ROLE,),
    case_id="BraTS-GoAT-{number:05d}",
    patient_id="",
    layout="BraTS-GoAT-00000-{t2f,t1c,t1n,t2w,seg}.nii[.gz] at any depth",
    case_folder=r"BraTS-GoAT-\d+",
)
FETS2021 = _build_fets("21", "FeTS21_Training_001")
FETS2022 = _build_fets("22", "FeTS2022_00000")
MSD01 = Release(
    name="msd01",
    title="MSD Task01 BrainTumour",
    files=(r"(?P<role>imagesTr|imagesTs|labelsTr)/BRATS_(?P<number>\d+)",),
    case_id="BRATS_{number:03d}",
    channels=dict.fromkeys(("flair", "t1ce", "t1", "t2"), ("imagestr", "imagests")),
    stack=(0, 2, 1, 3),  # stored as FLAIR, T1w, t1gd, T2w
    label_roles=("labelstr",),
    classes=CLASSES,
    label_values=(0, 2, 1, 3),  # stored as 1 oedema, 2 non-enhancing, 3 enhancing
    regions=REGIONS,
    layout="imagesTr/BRATS_001.nii.gz (one 4-D file a case) and labelsTr/BRATS_001.nii.gz",
    expects_label="imagesTr/",
    spacing_mm=1.0,
)


OTHER_TASKS = (
    OtherTask(
        "BraTS-MEN-RT, meningiomas before radiotherapy",
        r"BraTS-MEN-RT-\d+",
        "it has one modality, with the skull, and the target volume of radiotherapy as label",
    ),
    OtherTask(
        "the inpainting task of BraTS (local synthesis)",
        r"BraTS-\w+-[\d-]+-t1n-voided",
        "its masks are of what was removed from the image, not of a tumour",
    ),
    OtherTask("BraTS-Path, patches of histology", r"BraTS-?Path", "its images are no volumes"),
    OtherTask(
        "BraTS-Reg, pairs of examinations",
        r"BraTS-?Reg_",
        "it has landmarks for registration and no labels",
    ),
    OtherTask(
        "a task of BraTS that is not known here",
        r"(?:^|/)BraTS-(?!(?:GLI|SSA|MEN|MET|PED|GoAT)-\d)(?:\w+-)+\d{4,5}[^/]*\.(?i:nii)",
        "what its label values mean is not known (describe it by a datalist)",
    ),
)


class Brats(ReleasedDataset):
    """Gliomas; 240 x 240 x 155 voxels of 1 mm, skull-stripped and co-registered."""

    name = "brats"
    reference = "Menze et al. 2015, IEEE TMI 34(10):1993-2024; Bakas et al. 2018, arXiv 1811.02629"
    modality = "MRI"
    releases = (
        *(BRATS2020, BRATS2017, BRATS2018, BRATS2019, BRATS2021, BRATS2023, BRATS2024),
        *(BRATS2025, FETS2021, FETS2022, MSD01),
        *(SSA2023, MEN2023, MET2023, MET2025, PED2023, PED2024, GOAT2024),
    )
    others = OTHER_TASKS
