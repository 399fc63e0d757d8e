"""Patches for training: item i of epoch e depends only on seed, e and i, for every method."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from datasets.base import IGNORED_CLASS, VolumeShape
from datasets.prepared.augment import UNCHANGED, Change
from datasets.prepared.batches.memory import Empty, empty_new
from datasets.prepared.case import PreparedCase

Batch = dict[str, torch.Tensor]  # as `Patches.read` returns it


@dataclass(eq=False, frozen=True)
class Patches:
    """Random patches from prepared cases; the rest of a volume is not read.

    With probability ``foreground_frac`` a patch is centred, as far as the volume's edges allow, on
    a voxel of a foreground class drawn evenly from those that the case has; otherwise its place is
    uniform. A volume smaller than the patch is padded on both sides with 0, which is background.

    Raises: ValueError if there is no case or a number is out of range.
    """

    cases: Sequence[PreparedCase]  # with labels, drawn evenly
    size: VolumeShape  # of a patch
    n_patches: int  # in an epoch
    seed: int
    foreground_frac: float  # in [0, 1]
    augment: bool  # mirror at random, scale and shift each channel
    has_ignored: bool = False  # the data set has voxels that are not trained on

    def __post_init__(self) -> None:
        if not self.cases:
            raise ValueError("patches: at least one case is needed, got none")
        if min(self.size) < 1 or self.n_patches < 1:
            found = f"patch {self.size} and n_patches {self.n_patches}"
            raise ValueError(f"patches: sizes must be >= 1, got {found}")
        if not 0 <= self.foreground_frac <= 1:
            rule = "foreground_frac must be in [0, 1]"
            raise ValueError(f"patches: {rule}, got {self.foreground_frac}")

    def read(self, epoch: int, items: Sequence[int], empty: Empty = empty_new) -> Batch:
        """Return some items of an epoch, in tensors that ``empty(shape, dtype=...)`` makes.

        ``image`` is float32 (B, C, D, H, W), ``label`` uint8 (B, D, H, W); with ``has_ignored``
        there is also ``ignored``, bool (B, D, H, W), where the label is background. Raises:
        IndexError if an item is not in the epoch.
        """
        n_channels = self.cases[0].n_channels
        image = empty((len(items), n_channels, *self.size), dtype=torch.float32)
        label = empty((len(items), *self.size), dtype=torch.uint8)
        for item, voxels, classes in zip(items, image.numpy(), label.numpy(), strict=True):
            self._read_into(voxels, classes, epoch, item)
        if not self.has_ignored:
            return {"image": image, "label": label}
        ignored = label == IGNORED_CLASS
        return {"image": image, "label": label.masked_fill_(ignored, 0), "ignored": ignored}

    def _read_into(self, voxels: np.ndarray, classes: np.ndarray, epoch: int, item: int) -> None:
        if not 0 <= item < self.n_patches:
            raise IndexError(f"patches: item must be in 0..{self.n_patches - 1}, got {item}")
        rng = np.random.default_rng((self.seed, epoch, item))
        case = self.cases[int(rng.integers(len(self.cases)))]
        start = draw_start(case, self.size, self.foreground_frac, rng)
        change = Change.draw(len(voxels), rng) if self.augment else UNCHANGED
        case.read_patch_into(voxels, classes, start, change)


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
