"""LiTS: contrast-enhanced CT of livers with lesions.

Layout: ``volume-0.nii[.gz]`` and ``segmentation-0.nii[.gz]`` at any depth, paired on the number wherever they lie;
``test-volume-0.nii`` has no label. Segmentations without a volume are common in partial copies and are passed over.
Intensities are clipped and scaled with foreground constants that circulate for this data set.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from datasets.base import Case, DataError, Dataset, DatasetInfo, Region
from datasets.discovery import group_files

FILE = re.compile(r"(?:^|/)(?P<role>volume|segmentation|test-volume)-(?P<case>\d+)\.nii(?:\.gz)?$")
CLIP_HU, MEAN_HU, STD_HU = (-20.0, 210.0), 99.40, 39.36


class Lits(Dataset):
    """LiTS (131 labelled cases, 512 x 512 in plane, 42 to 1026 slices)."""

    info: ClassVar[DatasetInfo] = DatasetInfo(
        name="lits",
        title="LiTS",
        reference="Bilic et al. 2023, Medical Image Analysis 84:102680",
        modality="CT",
        channels=("ct",),
        classes=("background", "liver", "tumour"),
        label_values=(0, 1, 2),
        regions=(Region("liver", (1, 2)), Region("tumour", (2,))),
        layout="volume-0.nii[.gz] and segmentation-0.nii[.gz] at any depth",
    )

    def find_cases(self) -> list[Case]:
        """Return the volumes of the training part, with their label if it is there, and of the test part."""
        cases = []
        for files in group_files(self.info, self.root, FILE).values():
            if "volume" in files:
                cases.append(_build_case(files["volume"], files.get("segmentation")))
            if "test-volume" in files:
                cases.append(_build_case(files["test-volume"], None))
        if not cases:
            raise DataError(f"lits: segmentations but no volume below {self.root} (looked for {self.info.layout})")
        return sorted(cases, key=lambda case: case.id)

    def normalise(self, image: np.ndarray) -> np.ndarray:
        """Return clipped Hounsfield units with the mean and standard deviation of the foreground taken out."""
        scaled: np.ndarray = np.clip(image, *CLIP_HU)
        scaled -= MEAN_HU
        scaled /= STD_HU
        return scaled


def _build_case(volume: Path, label: Path | None) -> Case:
    case = volume.name.partition(".")[0]
    return Case(id=case, patient=case, images={"ct": volume}, label=label)
