"""Patches for training: item i of epoch e depends on the seed, e and i alone, so every method sees the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms import Compose, RandFlipd, RandScaleIntensityd, RandShiftIntensityd
from torch.utils.data import Dataset

from datasets.preprocessing import PreparedCase

Shape = tuple[int, int, int]


class PatchDataset(Dataset[dict[str, torch.Tensor]]):
    """An epoch of random patches from prepared cases, read from disk without the rest of the volume.

    With probability ``foreground_frac`` a patch is centred, as far as the volume's edges allow, on a voxel of a
    foreground class drawn evenly from those that the case has; otherwise its place is uniform. A volume smaller than
    the patch is padded on both sides with 0, which is background.

    Args:
        cases: labelled cases, drawn evenly.
        patch: shape (D, H, W) of a patch.
        n_patches: patches in an epoch.
        seed: of everything that is drawn.
        foreground_frac: in [0, 1].
        augment: mirror each axis with probability 0.5; multiply and shift each channel by U(0.9, 1.1) and U(-0.1, 0.1).

    Raises: ValueError if there is no case or a number is out of range.
    """

    def __init__(
        self,
        cases: Sequence[PreparedCase],
        patch: Shape,
        n_patches: int,
        seed: int,
        foreground_frac: float,
        augment: bool,
    ) -> None:
        if not cases:
            raise ValueError("patches: at least one case is needed, got none")
        if min(patch) < 1 or n_patches < 1:
            raise ValueError(f"patches: sizes must be >= 1, got patch {patch} and n_patches {n_patches}")
        if not 0 <= foreground_frac <= 1:
            raise ValueError(f"patches: foreground_frac must be in [0, 1], got {foreground_frac}")
        self.cases = tuple(cases)
        self.patch = patch
        self.n_patches = n_patches
        self.seed = seed
        self.foreground_frac = foreground_frac
        self.augment = build_augmentation() if augment else None
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next items belong to; data loader workers must be started anew after it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_patches

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return ``image`` float32 (C, D, H, W) and ``label`` int64 (D, H, W)."""
        if not 0 <= index < self.n_patches:
            raise IndexError(f"patches: item must be in 0..{self.n_patches - 1}, got {index}")
        rng = np.random.default_rng((self.seed, self.epoch, index))
        case = self.cases[rng.integers(len(self.cases))]
        start = draw_start(case, self.patch, self.foreground_frac, rng)
        image = torch.from_numpy(read_patch(case.image(), start, self.patch).astype(np.float32))
        label = torch.from_numpy(read_patch(case.label()[None], start, self.patch).astype(np.int64))
        if self.augment is None:
            return {"image": image, "label": label[0]}
        self.augment.set_random_state(seed=int(rng.integers(2**31)))
        augmented = self.augment({"image": image, "label": label})
        return {
            "image": torch.as_tensor(augmented["image"]).as_subclass(torch.Tensor).contiguous(),
            "label": torch.as_tensor(augmented["label"]).as_subclass(torch.Tensor)[0].contiguous(),
        }


def build_augmentation() -> Compose:
    """Return the random transforms of a patch: mirrors for image and label, scale and shift of each channel."""
    keys = ("image", "label")
    mirrors = [RandFlipd(keys, prob=0.5, spatial_axis=axis) for axis in range(3)]
    scale = RandScaleIntensityd("image", factors=0.1, prob=1.0, channel_wise=True)
    shift = RandShiftIntensityd("image", offsets=0.1, prob=1.0, channel_wise=True)
    return Compose([*mirrors, scale, shift])


def draw_start(case: PreparedCase, patch: Shape, foreground_frac: float, rng: np.random.Generator) -> Shape:
    """Return the first voxel (d, h, w) of a patch; negative where the volume is smaller than the patch."""
    on_foreground = rng.random() < foreground_frac and any(case.n_foreground)
    if on_foreground:
        voxels = rng.choice([index for index, count in enumerate(case.n_foreground) if count])
        centre = case.foreground()[voxels][rng.integers(case.n_foreground[voxels])]
        wanted = [int(voxel) - size // 2 for voxel, size in zip(centre, patch, strict=True)]
    else:
        wanted = [int(rng.integers(max(room, 0) + 1)) for room in np.subtract(case.shape, patch)]
    d, h, w = (
        min(max(first, 0), whole - size) if whole >= size else -((size - whole) // 2)
        for first, whole, size in zip(wanted, case.shape, patch, strict=True)
    )
    return d, h, w


def read_patch(volume: np.ndarray, start: Shape, patch: Shape) -> np.ndarray:
    """Return the patch of a volume (C, D, H, W) that begins at ``start``; 0 outside the volume."""
    result = np.zeros((volume.shape[0], *patch), dtype=volume.dtype)
    source, target = [slice(None)], [slice(None)]
    for first, size, whole in zip(start, patch, volume.shape[1:], strict=True):
        low, high = max(first, 0), min(first + size, whole)
        source.append(slice(low, high))
        target.append(slice(low - first, high - first))
    result[tuple(target)] = volume[tuple(source)]
    return result
