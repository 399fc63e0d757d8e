"""Patches for training: item i of epoch e depends only on seed, e and i, for every method."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.data import Dataset

from datasets.base import IGNORED_CLASS, VolumeShape
from datasets.prepared.case import PreparedCase

MIRROR_PROBABILITY = 0.5  # of each axis by itself
SCALE_RANGE = (0.9, 1.1)  # Med-Tuning's intensity augmentation, here per channel
SHIFT_RANGE = (-0.1, 0.1)


@dataclass(eq=False)
class PatchDataset(Dataset[dict[str, torch.Tensor]]):
    """An epoch of random patches from prepared cases; the rest of a volume is not read.

    With probability ``foreground_frac`` a patch is centred, as far as the volume's edges allow, on
    a voxel of a foreground class drawn evenly from those that the case has; otherwise its place is
    uniform. A volume smaller than the patch is padded on both sides with 0, which is background.

    Raises: ValueError if there is no case or a number is out of range.
    """

    cases: Sequence[PreparedCase]  # with labels, drawn evenly
    patch: VolumeShape
    n_patches: int  # in an epoch
    seed: int
    foreground_frac: float  # in [0, 1]
    augment: bool  # mirror at random, scale and shift each channel
    has_ignored: bool = False  # the data set has voxels that are not trained on
    epoch: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not self.cases:
            raise ValueError("patches: at least one case is needed, got none")
        if min(self.patch) < 1 or self.n_patches < 1:
            found = f"patch {self.patch} and n_patches {self.n_patches}"
            raise ValueError(f"patches: sizes must be >= 1, got {found}")
        if not 0 <= self.foreground_frac <= 1:
            rule = "foreground_frac must be in [0, 1]"
            raise ValueError(f"patches: {rule}, got {self.foreground_frac}")

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next items; workers of a data loader must be restarted after it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_patches

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return ``image`` float32 (C, D, H, W) and ``label`` int64 (D, H, W).

        With ``has_ignored`` also ``ignored``, bool (D, H, W), where the label is background.
        """
        if not 0 <= index < self.n_patches:
            raise IndexError(f"patches: item must be in 0..{self.n_patches - 1}, got {index}")
        rng = np.random.default_rng((self.seed, self.epoch, index))
        case = self.cases[int(rng.integers(len(self.cases)))]
        start = draw_start(case, self.patch, self.foreground_frac, rng)
        voxels, classes = case.read_patch(start, self.patch)
        image, label = torch.from_numpy(voxels), torch.from_numpy(classes)[None].long()
        if self.augment:
            image, label = augment_patch(image, label, rng)
        if not self.has_ignored:
            return {"image": image, "label": label[0]}
        ignored = label[0] == IGNORED_CLASS
        return {"image": image, "label": label[0].masked_fill(ignored, 0), "ignored": ignored}


def augment_patch(
    image: torch.Tensor, label: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return image and label (C, D, H, W) mirrored together at random; scale and shift the image.

    MONAI's dictionary transforms take several times as long for a patch of 32 x 64 x 64 (8 ms
    against 2), which matters for a small backbone on a CPU.
    """
    axes = [axis for axis in (1, 2, 3) if rng.random() < MIRROR_PROBABILITY]
    per_channel = (image.shape[0], 1, 1, 1)
    scale = torch.from_numpy(rng.uniform(*SCALE_RANGE, per_channel)).float()
    shift = torch.from_numpy(rng.uniform(*SHIFT_RANGE, per_channel)).float()
    return image.flip(axes).mul_(scale).add_(shift), label.flip(axes)


def draw_start(
    case: PreparedCase, patch: VolumeShape, foreground_frac: float, rng: np.random.Generator
) -> VolumeShape:
    """Return the first voxel (d, h, w) of a patch; negative where it is larger than the volume."""
    if rng.random() < foreground_frac and any(case.n_foreground):
        index = rng.choice(np.flatnonzero(case.n_foreground))
        centre = case.foreground()[index][rng.integers(case.n_foreground[index])]
        wanted = np.subtract(centre, np.floor_divide(patch, 2)).tolist()
    else:
        wanted = [int(rng.integers(max(room, 0) + 1)) for room in np.subtract(case.shape, patch)]
    d, h, w = map(_fit, wanted, case.shape, patch)
    return d, h, w


def _fit(first: int, whole: int, size: int) -> int:
    """Move the first voxel of a patch so that the patch is inside the volume, or around it."""
    if whole < size:
        return -((size - whole) // 2)
    return min(max(first, 0), whole - size)
