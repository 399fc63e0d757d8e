"""KiTS19: contrast-enhanced CT of kidneys with a tumour.

Layout: ``case_00000/{imaging,segmentation}.nii[.gz]`` at any depth; cases 00210-00299 have no segmentation. Files are
stored (z, y, x). Intensities are clipped and scaled with the constants of MLPerf's KiTS19 benchmark (mlcommons/
training): clip range, mean and standard deviation in Hounsfield units.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from datasets.base import Case, DataError, Dataset, DatasetInfo, Region
from datasets.discovery import group_files

FILE = re.compile(r"(?:^|/)(?P<case>case_\d{5})/(?P<role>imaging|segmentation)\.nii(?:\.gz)?$")
CLIP_HU, MEAN_HU, STD_HU = (-79.0, 304.0), 101.0, 76.9


class Kits(Dataset):
    """KiTS19 (210 labelled cases, about 512 x 512 in plane, slices of 0.5 to 5 mm)."""

    info: ClassVar[DatasetInfo] = DatasetInfo(
        name="kits",
        title="KiTS19",
        reference="Heller et al. 2021, Medical Image Analysis 67:101821",
        modality="CT",
        channels=("ct",),
        classes=("background", "kidney", "tumour"),
        label_values=(0, 1, 2),
        regions=(Region("kidney", (1, 2)), Region("tumour", (2,))),
        layout="case_00000/{imaging,segmentation}.nii[.gz] at any depth",
    )

    def find_cases(self) -> list[Case]:
        """Return all cases; those without a segmentation have no label."""
        groups = group_files(self.info, self.root, FILE)
        return [self._build_case(case, files) for case, files in sorted(groups.items())]

    def _build_case(self, case: str, files: dict[str, Path]) -> Case:
        if "imaging" not in files:
            folder = files["segmentation"].parent
            raise DataError(
                f"kits: case {case} has no imaging volume (looked for imaging.nii[.gz] in {folder}; "
                "a clone of the KiTS19 repository holds labels alone until its download script has run)"
            )
        return Case(id=case, patient=case, images={"ct": files["imaging"]}, label=files.get("segmentation"))

    def normalise(self, image: np.ndarray) -> np.ndarray:
        """Return clipped Hounsfield units with the mean and standard deviation of the foreground taken out."""
        scaled: np.ndarray = np.clip(image, *CLIP_HU)
        scaled -= MEAN_HU
        scaled /= STD_HU
        return scaled
