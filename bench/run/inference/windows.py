"""The windows of a volume, of its mirrored copies, and how their logits are blended.

Windows, weights and order of summation are those of MONAI's ``sliding_window_inference``, which the
tests hold it against. MONAI itself takes seconds to import, in every process that computes.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, product

import torch
from torch.nn import functional as F

from bench.specs.protocol import GAUSSIAN, EvalSpec

Shape = tuple[int, int, int]
Place = tuple[slice, ...]
SIGMA_FRAC = 1 / 8  # of the window's size, as in nnU-Net (Isensee et al., Nature Methods 2021)
LEAST_WEIGHT = 1e-3
# sets of the axes D, H, W of (B, K, D, H, W)
MIRRORS = [list(axes) for count in range(4) for axes in combinations((2, 3, 4), count)]


class Tiling:
    """The windows of a volume of one size, in the order in which they are computed.

    Attributes:
        places: of the windows in a volume that is padded to the size of a patch at least.
        mirrors: the axes along which the volume is mirrored, one list for each copy.
    """

    def __init__(self, size: Sequence[int], patch: Shape, spec: EvalSpec) -> None:
        self.size = tuple(size)
        self.patch = patch
        self.blend = spec.blend
        self.margins = split_margins(size, patch)
        grown = [low + n + high for (low, high), n in zip(self.margins, size, strict=True)]
        self.padded = tuple(grown)
        self.places = list_windows(self.padded, patch, spec.overlap)
        self.mirrors = MIRRORS if spec.flips else MIRRORS[:1]

    @property
    def n_windows(self) -> int:
        return len(self.places) * len(self.mirrors)

    def iter_patches(self, volume: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the windows (1, C, *patch) of a volume (1, C, D, H, W), mirror after mirror."""
        for axes in self.mirrors:
            padded = self.pad(volume.flip(axes))
            for place in self.places:
                yield padded[:, :, *place]

    def pad(self, volume: torch.Tensor) -> torch.Tensor:
        return F.pad(volume, [width for pair in reversed(self.margins) for width in pair])

    def cut(self, padded: torch.Tensor) -> torch.Tensor:
        """Return the part (1, K, D, H, W) of a padded volume that is not padding."""
        pairs = zip(self.margins, self.size, strict=True)
        return padded[:, :, *(slice(low, low + n) for (low, _), n in pairs)]


class Blend:
    """The mean over mirrored copies of the blended logits of their windows.

    Logits (1, K, *patch) are added in the order of `Tiling.iter_patches`. The sum is on ``home``.
    """

    def __init__(self, tiling: Tiling, home: torch.device) -> None:
        self.tiling = tiling
        self.home = home
        self.weights = build_weights(tiling.patch, tiling.blend).to(home)
        self.norm = torch.zeros(tiling.padded, device=home)
        for place in tiling.places:
            self.norm[place] += self.weights
        self.n_added = 0  # windows of the present mirrored copy
        self.n_mirrored = 0  # copies that are complete
        self.sum: torch.Tensor | None = None  # of the present copy
        self.total: torch.Tensor | None = None  # of the complete ones, turned back

    def add(self, logits: torch.Tensor) -> None:
        logits = logits.to(self.home)
        if self.sum is None:
            self.sum = torch.zeros(1, logits.shape[1], *self.tiling.padded, device=self.home)
        self.sum[:, :, *self.tiling.places[self.n_added]] += logits * self.weights
        self.n_added += 1
        if self.n_added == len(self.tiling.places):
            self._complete(self.sum)

    def _complete(self, blended: torch.Tensor) -> None:
        blended /= self.norm
        logits = self.tiling.cut(blended).flip(self.tiling.mirrors[self.n_mirrored])
        self.total = logits if self.total is None else self.total.add_(logits)
        self.n_mirrored += 1
        self.n_added = 0
        self.sum = None

    def mean(self) -> torch.Tensor:
        """Return the logits (K, D, H, W), once all windows were added."""
        assert self.total is not None
        assert self.n_mirrored == len(self.tiling.mirrors)
        return self.total[0].div_(self.n_mirrored)  # exact: a power of two


def list_windows(size: Sequence[int], patch: Shape, overlap: float) -> list[Place]:
    """Return the windows that cover a volume; the last of an axis ends with the volume."""
    starts = []
    for length, width in zip(size, patch, strict=True):
        last = length - width
        starts.append([*range(0, last, step_of(width, overlap)), last])
    return [
        tuple(slice(low, low + width) for low, width in zip(corner, patch, strict=True))
        for corner in product(*starts)
    ]


def step_of(width: int, overlap: float) -> int:
    """Return the voxels between the starts of two windows along an axis."""
    return max(int(width * (1 - overlap)), 1)


def build_weights(patch: Shape, blend: str) -> torch.Tensor:
    """Return the weight of each voxel of a window, float32."""
    weights = torch.ones(())
    for width in patch if blend == GAUSSIAN else ():
        offsets = torch.arange(width) - (width - 1) / 2
        bell = torch.exp(offsets**2 / (-2 * (width * SIGMA_FRAC) ** 2))
        weights = weights[..., None] * bell
    return weights.expand(patch).clamp(min=max(float(weights.min()), LEAST_WEIGHT))


def split_margins(size: Sequence[int], patch: Shape) -> list[tuple[int, int]]:
    """Return what is added before and after each axis of a volume smaller than the patch."""
    lacking = [max(width - length, 0) for length, width in zip(size, patch, strict=True)]
    return [(n // 2, n - n // 2) for n in lacking]
