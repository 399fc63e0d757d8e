"""BraTS 2020: four MRI modalities of a brain with a glioma.

Layout: ``BraTS20_Training_001_{flair,t1,t1ce,t2,seg}.nii[.gz]`` at any depth; validation cases have no ``seg``.
Channel order and intensities are those of Med-Tuning (Shen et al., MIDL 2024): z-score of each modality within one mask
for all four, background 0.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from datasets.base import Case, DataError, Dataset, DatasetInfo, Region
from datasets.discovery import group_files

FILE = re.compile(
    r"(?:^|/)(?P<case>BraTS20_(?:Training|Validation)_\d{3,})_(?P<role>flair|t1ce|t1|t2|seg)\.nii(?:\.gz)?$"
)


class Brats(Dataset):
    """BraTS 2020 (369 labelled cases, 240 x 240 x 155 voxels of 1 mm)."""

    info: ClassVar[DatasetInfo] = DatasetInfo(
        name="brats",
        title="BraTS 2020",
        reference="Menze et al. 2015, IEEE TMI 34(10):1993-2024; Bakas et al. 2018, arXiv 1811.02629",
        modality="MRI",
        channels=("flair", "t1ce", "t1", "t2"),
        classes=("background", "necrosis", "oedema", "enhancing"),
        label_values=(0, 1, 2, 4),
        regions=(Region("WT", (1, 2, 3)), Region("TC", (1, 3)), Region("ET", (3,))),
        layout="BraTS20_Training_001_{flair,t1ce,t1,t2,seg}.nii[.gz] at any depth",
    )

    def find_cases(self) -> list[Case]:
        """Return training and validation cases; the latter have no label."""
        groups = group_files(self.info, self.root, FILE)
        return [self._build_case(case, files) for case, files in sorted(groups.items())]

    def _build_case(self, case: str, files: dict[str, Path]) -> Case:
        folder = next(iter(files.values())).parent
        for channel in self.info.channels:
            if channel not in files:
                raise DataError(
                    f"brats: case {case} has no {channel} volume (looked for *_{channel}.nii[.gz] in {folder})"
                )
        images = {channel: files[channel] for channel in self.info.channels}
        return Case(id=case, patient=case, images=images, label=files.get("seg"))

    def normalise(self, image: np.ndarray) -> np.ndarray:
        """Return the z-score of each channel over the brain, which is where the channels do not add up to 0."""
        brain = image.sum(axis=0) > 0
        scaled = np.zeros_like(image, dtype=np.float32)
        for channel, target in zip(image, scaled, strict=True):
            values = channel[brain]
            std = values.std(dtype=np.float64) if values.size else 0.0
            if std > 0:  # a constant channel carries nothing and stays 0
                target[brain] = (values - np.float32(values.mean(dtype=np.float64))) / np.float32(std)
        return scaled
