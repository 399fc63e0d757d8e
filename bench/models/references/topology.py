"""Where a U-Net halves its maps: nnU-Net's plan for a patch, as pure arithmetic.

Reference: Isensee et al., nnU-Net, Nature Methods 18:203-211, 2021, supplementary note 2; the rule
is that of the authors' planner (nnU-Net v2, ``get_pool_and_conv_props``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

MIN_EDGE = 4  # no axis gets shorter, in voxels
MIN_EDGE_ALONE = 6  # where an axis is halved alone
NEAR = 2  # spacings below this ratio count as equal

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Topology:
    """The stages of a U-Net, fine to coarse."""

    strides: tuple[Shape, ...]  # into each stage; the first is 1, 1, 1
    kernels: tuple[Shape, ...]  # of the stage's convolutions

    @property
    def unit(self) -> Shape:
        """What the input must be divisible by."""
        unit = [1, 1, 1]
        for stride in self.strides:
            unit = [size * step for size, step in zip(unit, stride, strict=True)]
        return _shape(unit)


def plan_topology(patch: Shape, spacing_mm: Sequence[float]) -> Topology:
    """Return the stages for a patch in voxels.

    All axes are halved that are long enough and whose spacing is near the finest of these. A thick
    axis gets kernels of 1 until halving the others has brought its spacing near to theirs.
    """
    size, spacing = list(patch), list(spacing_mm)
    kernel = [1, 1, 1]
    strides: list[Shape] = [(1, 1, 1)]
    kernels: list[Shape] = []
    while axes := _find_axes(size, spacing):
        finest = min(spacing)
        for axis in range(3):
            if spacing[axis] / finest < NEAR:
                kernel[axis] = 3
        kernels.append(_shape(kernel))
        stride = [1, 1, 1]
        for axis in axes:
            stride[axis] = 2
            size[axis] = -(-size[axis] // 2)
            spacing[axis] *= 2
        strides.append(_shape(stride))
    kernels.append((3, 3, 3))
    return Topology(tuple(strides), tuple(kernels))


def _find_axes(size: Sequence[int], spacing: Sequence[float]) -> list[int]:
    """Return the axes to be halved next."""
    long = [axis for axis in range(3) if size[axis] >= 2 * MIN_EDGE]
    if not long:
        return []
    finest = min(spacing[axis] for axis in long)
    near = [axis for axis in long if spacing[axis] / finest < NEAR]
    if len(near) == 1 and size[near[0]] < 2 * MIN_EDGE_ALONE:
        return []
    return near


def _shape(values: Sequence[int]) -> Shape:
    depth, height, width = values
    return depth, height, width
