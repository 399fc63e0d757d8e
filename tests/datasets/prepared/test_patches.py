from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from datasets.brats import Brats
from datasets.prepared.case import PreparedCase
from datasets.prepared.keys import Preparation
from datasets.prepared.patches import PatchDataset, augment_patch, draw_start
from datasets.prepared.prepare import prepare

Save = Callable[..., Path]
Item = dict[str, torch.Tensor]


@pytest.fixture
def cases(brats_root: Path, tmp_path: Path) -> list[PreparedCase]:
    dataset = Brats(brats_root)
    return prepare(
        dataset, dataset.find_cases(), tmp_path / "cache", settings=Preparation(crop=False)
    )


def make_patches(
    cases: list[PreparedCase], seed: int = 3, *, foreground_frac: float = 0.5
) -> PatchDataset:
    return PatchDataset(cases, (4, 4, 4), 12, seed, foreground_frac, augment=True)


def assert_equal(one: Item, other: Item) -> None:
    assert torch.equal(one["image"], other["image"])
    assert torch.equal(one["label"], other["label"])


def test_item_is_what_training_expects(cases: list[PreparedCase]) -> None:
    item = make_patches(cases)[0]
    assert {type(tensor) for tensor in item.values()} == {torch.Tensor}
    assert (item["image"].dtype, tuple(item["image"].shape)) == (torch.float32, (4, 4, 4, 4))
    assert (item["label"].dtype, tuple(item["label"].shape)) == (torch.int64, (4, 4, 4))


def test_items_depend_on_seed_epoch_and_index_alone(cases: list[PreparedCase]) -> None:
    forward, backward = make_patches(cases), make_patches(cases)
    expected = [forward[index] for index in range(12)]
    torch.manual_seed(99)
    np.random.RandomState(99)
    for index in reversed(range(12)):
        assert_equal(backward[index], expected[index])
    images = torch.stack([item["image"] for item in expected])
    assert len(torch.unique(images.flatten(1), dim=0)) == 12
    backward.set_epoch(1)
    assert not torch.equal(backward[0]["image"], expected[0]["image"])
    backward.set_epoch(0)
    assert_equal(backward[0], expected[0])
    assert not torch.equal(make_patches(cases, seed=4)[0]["image"], expected[0]["image"])


def test_loader_with_workers_gives_the_same_items(cases: list[PreparedCase]) -> None:
    patches = make_patches(cases)
    patches.set_epoch(2)
    loader = DataLoader(patches, batch_size=None, num_workers=2, multiprocessing_context="fork")
    for index, item in enumerate(loader):
        assert_equal(item, patches[index])


def test_plain_patch_is_a_piece_of_the_case(cases: list[PreparedCase]) -> None:
    patches = PatchDataset(cases[:1], (4, 5, 6), 20, 0, 0.0, augment=False)
    image, label = np.asarray(cases[0].image()), np.asarray(cases[0].label())
    found = 0
    for item in (patches[index] for index in range(20)):
        for d, h, w in np.ndindex(3, 4, 5):
            piece = image[:, d : d + 4, h : h + 5, w : w + 6]
            if np.array_equal(piece, item["image"].numpy()):
                np.testing.assert_array_equal(label[d : d + 4, h : h + 5, w : w + 6], item["label"])
                found += 1
    assert found == 20


def test_foreground_patches_hold_foreground(cases: list[PreparedCase]) -> None:
    rng = np.random.default_rng(0)
    seen: set[int] = set()
    for _ in range(60):
        start = draw_start(cases[0], (1, 1, 1), 1.0, rng)
        seen.add(int(cases[0].label()[start]))
    assert seen == {1, 2, 3}  # one voxel of class 1 is drawn as often as many of class 2
    starts = [draw_start(cases[0], (1, 1, 1), 0.0, rng) for _ in range(60)]
    assert sum(int(cases[0].label()[start]) == 0 for start in starts) > 20


def test_patches_stay_inside_and_reach_every_corner(cases: list[PreparedCase]) -> None:
    rng = np.random.default_rng(0)
    for frac in (0.0, 1.0):
        starts = np.array([draw_start(cases[0], (4, 6, 6), frac, rng) for _ in range(300)])
        assert starts.min() >= 0
        assert (starts.max(axis=0) <= [2, 2, 4]).all()
    assert {
        tuple(start)
        for start in np.array([draw_start(cases[0], (4, 6, 6), 0, rng) for _ in range(600)])
    } == {(d, h, w) for d in range(3) for h in range(3) for w in range(5)}


def test_small_volume_is_padded_on_both_sides(cases: list[PreparedCase]) -> None:
    patches = PatchDataset(cases[:1], (10, 8, 13), 1, 0, 1.0, augment=False)
    item = patches[0]
    inner = np.s_[2:8, :, 1:11]
    np.testing.assert_array_equal(item["image"][:, *inner], cases[0].image())
    np.testing.assert_array_equal(item["label"][inner], cases[0].label())
    for tensor in item.values():
        assert tensor.count_nonzero() == tensor[..., *inner].count_nonzero()


def test_read_patch_beyond_both_ends(cases: list[PreparedCase]) -> None:
    row = cases[0].image()[0, 2, 3].tolist()
    image, label = cases[0].read_patch((2, 3, -2), (1, 1, 14))
    assert image[0].ravel().tolist() == [0, 0, *row, 0, 0]
    assert label.ravel().tolist() == [0, 0, *cases[0].label()[2, 3].tolist(), 0, 0]
    assert cases[0].read_patch((2, 3, 8), (1, 1, 2))[0][0].ravel().tolist() == row[8:]
    for start in ((2, 3, 10), (9, 3, 0), (2, 3, -14), (2, -5, 0)):  # beside the volume
        assert not any(array.any() for array in cases[0].read_patch(start, (1, 1, 2)))


def test_augmentation_mirrors_image_and_label_together_and_bounds_intensities() -> None:
    label = torch.arange(2 * 3 * 4).reshape(1, 2, 3, 4)
    image = label.float().repeat(2, 1, 1, 1)
    corners, fits = set(), []
    for seed in range(64):
        new_image, new_label = augment_patch(image, label, np.random.default_rng(seed))
        corners.add(int(new_label[0, 0, 0, 0]))
        assert sorted(new_label.flatten().tolist()) == list(range(24))
        fits += [np.polyfit(new_label.flatten(), channel.flatten(), 1) for channel in new_image]
        for channel, (scale, shift) in zip(new_image, fits[-2:], strict=True):
            np.testing.assert_allclose(channel, new_label[0] * scale + shift, atol=1e-4)
    assert len(corners) == 8  # every combination of mirrors
    drawn = np.array(fits)
    assert (np.abs(drawn - [1, 0]) <= 0.1 + 1e-5).all()
    assert (drawn.max(axis=0) - drawn.min(axis=0) > 0.18).all()
    assert len(np.unique(drawn.round(5), axis=0)) == 128  # each channel has its own draw
    np.testing.assert_array_equal(image[0], label[0])  # the arguments are left alone


def test_bad_arguments_are_one_sentence(cases: list[PreparedCase]) -> None:
    with pytest.raises(ValueError, match="patches: at least one case is needed, got none"):
        PatchDataset([], (4, 4, 4), 1, 0, 0.5, augment=False)
    with pytest.raises(
        ValueError, match=r"patches: sizes must be >= 1, got patch \(0, 4, 4\) and n_patches 1"
    ):
        PatchDataset(cases, (0, 4, 4), 1, 0, 0.5, augment=False)
    with pytest.raises(ValueError, match=r"patches: foreground_frac must be in \[0, 1\], got 1.5"):
        PatchDataset(cases, (4, 4, 4), 1, 0, 1.5, augment=False)
    with pytest.raises(IndexError):
        make_patches(cases)[12]
