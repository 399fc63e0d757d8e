"""The plan of a U-Net against plans that nnU-Net has published for public data sets."""

import pytest

from bench.models.references.topology import plan_topology

ALL, IN_PLANE = (2, 2, 2), (1, 2, 2)


@pytest.mark.parametrize(
    ("patch", "spacing_mm", "strides", "n_flat_kernels"),
    [
        ((128, 128, 128), (1, 1, 1), [ALL] * 5, 0),  # BraTS
        ((40, 56, 40), (1, 1, 1), [ALL] * 3, 0),  # MSD hippocampus
        ((20, 320, 256), (3.6, 0.625, 0.625), [IN_PLANE] * 2 + [ALL] * 2 + [IN_PLANE] * 2, 2),
        ((20, 256, 224), (5, 1.56, 1.56), [IN_PLANE] + [ALL] * 2 + [IN_PLANE] * 2, 1),  # ACDC
        ((16, 64, 64), (1, 1, 1), [ALL] * 2 + [IN_PLANE] * 2, 0),  # the demo's patch
    ],
)
def test_the_plan_is_nnu_nets(patch, spacing_mm, strides, n_flat_kernels):
    plan = plan_topology(patch, spacing_mm)
    assert plan.strides == ((1, 1, 1), *strides)
    n_stages = len(strides) + 1
    flat, full = (1, 3, 3), (3, 3, 3)
    assert plan.kernels == (flat,) * n_flat_kernels + (full,) * (n_stages - n_flat_kernels)


def test_an_axis_is_not_halved_alone_below_twelve_voxels():
    assert plan_topology((11, 4, 4), (1, 1, 1)).strides == ((1, 1, 1),)
    assert plan_topology((12, 4, 4), (1, 1, 1)).strides == ((1, 1, 1), (2, 1, 1))


def test_an_odd_patch_has_the_plan_of_the_next_size_that_fits():
    plan = plan_topology((31, 37, 61), (1, 1, 1))
    assert plan.unit == (8, 8, 8)
    assert plan == plan_topology((32, 40, 64), (1, 1, 1))
