"""The on-disk layouts of the real releases, for phantoms: file names, orientation, spacing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from datasets.base import SpacingMm, unknown_name

OLD_ROLES = ("_flair", "_t1ce", "_t1", "_t2", "_seg")
NEW_ROLES = ("-t2f", "-t1c", "-t1n", "-t2w", "-seg")
SITES = ("CBICA_AAB", "TCIA01_180", "2013_12")


@dataclass(frozen=True)
class Layout:
    """How the files of a release are named and oriented."""

    dataset: str
    release: str
    files: tuple[str, ...]  # templates of paths: channels in order (or their stack), then the label
    orientations: tuple[str, ...]  # nibabel's axis codes of the stored arrays, case by case
    spacing_mm: SpacingMm
    case_list: str = ""  # a file beside the cases, written as an empty JSON list
    msd_modality: tuple[str, ...] = ()  # of the Decathlon's dataset.json; empty: there is none
    msd_labels: tuple[str, ...] = ()

    def name_files(self, index: int) -> list[str]:
        """Return the files of a case by its index (from 0)."""
        fields = {
            "index": index,
            "number": index + 1,
            "grade": ("HGG", "LGG")[index % 2],
            "site": SITES[index % len(SITES)],
            "batch": 1 if index < 28 else 2,
            "part": 1 + index // 2,
            "pair": index // 2,
            "course": ("000", "100")[index % 2],  # before and after treatment
        }
        return [template.format(**fields) for template in self.files]

    def orientation(self, index: int) -> str:
        return self.orientations[index % len(self.orientations)]

    def describe_cases(self, n_cases: int) -> dict[str, str]:
        """Return the files beside the cases: their paths, and their texts."""
        if self.case_list:
            return {self.case_list: "[]"}
        if not self.msd_modality:
            return {}
        training = []
        for index in range(n_cases):
            image, label = self.name_files(index)
            training.append({"image": f"./{image}", "label": f"./{label}"})
        content = {
            "description": "synthetic phantoms",
            "modality": _number(self.msd_modality),
            "labels": _number(self.msd_labels),
            "numTraining": n_cases,
            "training": training,
        }
        return {"dataset.json": json.dumps(content, indent=1)}


def get_layout(name: str) -> Layout:
    """Return a layout, or the one of a data set's demo data; ValueError with the nearest name."""
    name = DEFAULT_LAYOUT.get(name, name)
    if name not in LAYOUTS:
        raise unknown_name("layout", name, LAYOUTS)
    return LAYOUTS[name]


def name_demo_release(name: str) -> str:
    """Return the release that phantoms of a data set are of; a release is returned as it is."""
    return DEFAULT_LAYOUT.get(name, name)


def _number(names: Sequence[str]) -> dict[str, str]:
    return {str(number): name for number, name in enumerate(names)}


def _brats(release: str, case: str, roles: tuple[str, ...], parent: str = "") -> Layout:
    """Return a layout with a folder a case; ``parent`` is the folder of the cases."""
    files = tuple(f"{parent}{case}/{case}{role}.nii.gz" for role in roles)
    return Layout("brats", release, files, ("LPS",), (1.0, 1.0, 1.0))


def _kits(release: str, parent: str, label: str, case_list: str = "") -> Layout:
    files = tuple(f"{parent}case_{{index:05d}}/{role}.nii.gz" for role in ("imaging", label))
    return Layout("kits", release, files, ("IPL",), (3.0, 0.78125, 0.78125), case_list)


def _lits(release: str, volume: str, label: str) -> Layout:
    orientations = ("LPS", "LAS")  # the release mixes them
    return Layout("lits", release, (volume, label), orientations, (1.0, 0.765625, 0.765625))


EARLY_PARENT = "MICCAI_BraTS_{}_Data_Training/{{grade}}/"
GLI2023_PARENT = "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData/"
LITS_PARENT = "media/nas/01_Datasets/CT/LITS/Training Batch {batch}/"
ALL_LAYOUTS = (
    _brats("brats2017", "Brats17_{site}{index}_1", OLD_ROLES, EARLY_PARENT.format(2017)),
    _brats("brats2018", "Brats18_{site}{index}_1", OLD_ROLES, EARLY_PARENT.format(2018)),
    _brats("brats2019", "BraTS19_{site}{index}_1", OLD_ROLES, EARLY_PARENT.format(2019)),
    _brats("brats2020", "BraTS20_Training_{number:03d}", OLD_ROLES),
    _brats("brats2021", "BraTS2021_{index:05d}", OLD_ROLES),
    _brats("brats2023", "BraTS-GLI-{index:05d}-000", NEW_ROLES, GLI2023_PARENT),
    _brats("brats2024", "BraTS-GLI-{index:05d}-100", NEW_ROLES, "training_data1/"),
    _brats("brats2025", "BraTS-GLI-{pair:05d}-{course}", NEW_ROLES, "BraTS2025-GLI-Training/"),
    _brats("ssa2023", "BraTS-SSA-{index:05d}-000", NEW_ROLES),
    _brats("men2023", "BraTS-MEN-{index:05d}-000", NEW_ROLES),
    _brats("met2023", "BraTS-MET-{index:05d}-000", NEW_ROLES),
    _brats("met2025", "BraTS-MET-{index:05d}-000", NEW_ROLES),
    _brats("ped2023", "BraTS-PED-{index:05d}-000", NEW_ROLES),
    _brats("ped2024", "BraTS-PED-{index:05d}-000", NEW_ROLES),
    _brats("goat2024", "BraTS-GoAT-{index:05d}", NEW_ROLES),
    _brats("fets2021", "FeTS21_Training_{number:03d}", OLD_ROLES),
    _brats("fets2022", "FeTS2022_{index:05d}", OLD_ROLES),
    Layout(
        "brats",
        "msd01",
        ("imagesTr/BRATS_{number:03d}.nii.gz", "labelsTr/BRATS_{number:03d}.nii.gz"),
        ("RAS",),
        (1.0, 1.0, 1.0),
        msd_modality=("FLAIR", "T1w", "t1gd", "T2w"),
        msd_labels=("background", "edema", "non-enhancing tumor", "enhancing tumour"),
    ),
    _kits("kits19", "", "segmentation", "kits.json"),
    _kits("kits21", "data/", "aggregated_MAJ_seg"),
    _kits("kits23", "dataset/", "segmentation", "dataset/kits23.json"),
    _lits("lits17", LITS_PARENT + "volume-{index}.nii", LITS_PARENT + "segmentation-{index}.nii"),
    _lits(
        "lits-kaggle",
        "volume_pt{part}/volume-{index}.nii",
        "segmentations/segmentation-{index}.nii",
    ),
    Layout(
        "lits",
        "msd03",
        ("imagesTr/liver_{index}.nii.gz", "labelsTr/liver_{index}.nii.gz"),
        ("RAS",),
        (1.0, 0.765625, 0.765625),
        msd_modality=("CT",),
        msd_labels=("background", "liver", "cancer"),
    ),
)
LAYOUTS = {layout.release: layout for layout in ALL_LAYOUTS}
DEFAULT_LAYOUT = {"brats": "brats2020", "kits": "kits19", "lits": "lits17"}  # of demo data
