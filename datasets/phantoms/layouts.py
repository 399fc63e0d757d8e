"""The on-disk layouts of the real releases, for phantoms: file names, orientation, spacing, what lies beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from datasets.base import unknown_name

OLD_ROLES = ("flair", "t1ce", "t1", "t2", "seg")
NEW_ROLES = ("t2f", "t1c", "t1n", "t2w", "seg")
Naming = Callable[[int], tuple[str, ...]]  # index of a case -> its files
SITES = ("CBICA_AAB", "TCIA01_180", "2013_12")


def _nothing(n_cases: int) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Layout:
    """How the files of case ``index`` (from 0) of a release are named and oriented."""

    dataset: str
    release: str
    files: Naming  # below the root; the channels in order (or their stack), then the label
    orientation: Callable[[int], str]  # nibabel's axis codes of the stored array
    spacing_mm: tuple[float, float, float]  # (D, H, W)
    beside: Callable[[int], Mapping[str, str]] = _nothing  # number of cases -> file -> its text


def get_layout(name: str) -> Layout:
    """Return a layout by its name.

    Raises: ValueError with the nearest name if there is none.
    """
    if name not in LAYOUTS:
        raise unknown_name("layout", name, LAYOUTS)
    return LAYOUTS[name]


def _name_old_brats(index: int, year: str, prefix: str) -> tuple[str, ...]:
    grade = ("HGG", "LGG")[index % 2]
    case = f"{prefix}_{SITES[index % 3]}{index}_1"
    return tuple(
        f"MICCAI_BraTS_{year}_Data_Training/{grade}/{case}/{case}_{role}.nii.gz"
        for role in OLD_ROLES
    )


def _name_cases(folder: str, case: str, roles: tuple[str, ...], separator: str = "_") -> Naming:
    """Return a naming by ``case``, a template of the index (from 0) and the number (from 1)."""

    def name(index: int) -> tuple[str, ...]:
        filled = case.format(index=index, number=index + 1)
        return tuple(f"{folder}{filled}/{filled}{separator}{role}.nii.gz" for role in roles)

    return name


def _name_kits(folder: str, label: str) -> Naming:
    return lambda index: tuple(
        f"{folder}case_{index:05d}/{role}.nii.gz" for role in ("imaging", label)
    )


def _name_lits(index: int) -> tuple[str, ...]:
    batch = f"media/nas/01_Datasets/CT/LITS/Training Batch {1 if index < 28 else 2}"
    return tuple(f"{batch}/{role}-{index}.nii" for role in ("volume", "segmentation"))


def _name_kaggle(index: int) -> tuple[str, ...]:
    return (
        f"volume_pt{1 + index // 2}/volume-{index}.nii",
        f"segmentations/segmentation-{index}.nii",
    )


def _name_msd(case: str) -> Naming:
    def name(index: int) -> tuple[str, ...]:
        file = case.format(index=index, number=index + 1)
        return f"imagesTr/{file}.nii.gz", f"labelsTr/{file}.nii.gz"

    return name


def _describe_msd(
    case: str, modality: tuple[str, ...], labels: tuple[str, ...]
) -> Callable[[int], Mapping[str, str]]:
    def describe(n_cases: int) -> Mapping[str, str]:
        pairs = [_name_msd(case)(index) for index in range(n_cases)]
        content = {
            "description": "synthetic phantoms",
            "modality": {str(number): name for number, name in enumerate(modality)},
            "labels": {str(number): name for number, name in enumerate(labels)},
            "numTraining": n_cases,
            "training": [{"image": f"./{image}", "label": f"./{label}"} for image, label in pairs],
        }
        return {"dataset.json": json.dumps(content, indent=1)}

    return describe


def _always(codes: str) -> Callable[[int], str]:
    return lambda index: codes


def _mixed(index: int) -> str:
    return ("LPS", "LAS")[index % 2]  # LiTS mixes them


MRI_MM, KIDNEY_MM, LIVER_MM = (1.0, 1.0, 1.0), (3.0, 0.78125, 0.78125), (1.0, 0.765625, 0.765625)
GLIOMA_LABELS = ("background", "edema", "non-enhancing tumor", "enhancing tumour")
GLI2023 = "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData/"
LPS, IPL, RAS = _always("LPS"), _always("IPL"), _always("RAS")

LAYOUTS = {
    "brats2018": Layout(
        "brats", "brats2018", lambda index: _name_old_brats(index, "2018", "Brats18"), LPS, MRI_MM
    ),
    "brats2019": Layout(
        "brats", "brats2019", lambda index: _name_old_brats(index, "2019", "BraTS19"), LPS, MRI_MM
    ),
    "brats2020": Layout(
        "brats",
        "brats2020",
        _name_cases("", "BraTS20_Training_{number:03d}", OLD_ROLES),
        LPS,
        MRI_MM,
    ),
    "brats2021": Layout(
        "brats", "brats2021", _name_cases("", "BraTS2021_{index:05d}", OLD_ROLES), LPS, MRI_MM
    ),
    "brats2023": Layout(
        "brats",
        "brats2023",
        _name_cases(GLI2023, "BraTS-GLI-{index:05d}-000", NEW_ROLES, "-"),
        LPS,
        MRI_MM,
    ),
    "brats2024": Layout(
        "brats",
        "brats2024",
        _name_cases("training_data1/", "BraTS-GLI-{index:05d}-100", NEW_ROLES, "-"),
        LPS,
        MRI_MM,
    ),
    "fets": Layout(
        "brats", "fets", _name_cases("", "FeTS2022_{index:05d}", OLD_ROLES), LPS, MRI_MM
    ),
    "msd01": Layout(
        "brats",
        "msd01",
        _name_msd("BRATS_{number:03d}"),
        RAS,
        MRI_MM,
        _describe_msd("BRATS_{number:03d}", ("FLAIR", "T1w", "t1gd", "T2w"), GLIOMA_LABELS),
    ),
    "kits19": Layout(
        "kits",
        "kits19",
        _name_kits("", "segmentation"),
        IPL,
        KIDNEY_MM,
        lambda _: {"kits.json": "[]"},
    ),
    "kits21": Layout("kits", "kits21", _name_kits("data/", "aggregated_MAJ_seg"), IPL, KIDNEY_MM),
    "kits23": Layout(
        "kits",
        "kits23",
        _name_kits("dataset/", "segmentation"),
        IPL,
        KIDNEY_MM,
        lambda _: {"dataset/kits23.json": "[]"},
    ),
    "lits": Layout("lits", "lits", _name_lits, _mixed, LIVER_MM),
    "lits-kaggle": Layout("lits", "lits-kaggle", _name_kaggle, _mixed, LIVER_MM),
    "msd03": Layout(
        "lits",
        "msd03",
        _name_msd("liver_{index}"),
        RAS,
        LIVER_MM,
        _describe_msd("liver_{index}", ("CT",), ("background", "liver", "cancer")),
    ),
}
DEFAULT_LAYOUT = {
    "brats": "brats2020",
    "kits": "kits19",
    "lits": "lits",
}  # data set -> what `run` without data writes
