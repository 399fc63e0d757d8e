from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.brats import Brats
from datasets.prepared.augment import Change
from datasets.prepared.batches.ahead import BatchReader
from datasets.prepared.batches.memory import Empty, empty_new
from datasets.prepared.batches.patches import Batch, Patches, draw_start
from datasets.prepared.case import PreparedCase
from datasets.prepared.integrity import DamagedError
from datasets.prepared.keys import Preparation
from datasets.prepared.prepare import prepare

Save = Callable[..., Path]


@pytest.fixture
def cases(brats_root: Path, tmp_path: Path) -> list[PreparedCase]:
    dataset = Brats(brats_root)
    return prepare(
        dataset, dataset.find_cases(), tmp_path / "cache", settings=Preparation(crop=False)
    )


def make_patches(cases: list[PreparedCase], seed: int = 3) -> Patches:
    return Patches(cases, (4, 4, 4), 12, seed, 0.5, augment=True)


def assert_equal(one: Batch, other: Batch) -> None:
    assert torch.equal(one["image"], other["image"])
    assert torch.equal(one["label"], other["label"])


def test_batch_is_what_training_expects(cases: list[PreparedCase]) -> None:
    batch = make_patches(cases).read(0, [0, 1])
    assert {type(tensor) for tensor in batch.values()} == {torch.Tensor}
    assert (batch["image"].dtype, tuple(batch["image"].shape)) == (torch.float32, (2, 4, 4, 4, 4))
    assert (batch["label"].dtype, tuple(batch["label"].shape)) == (torch.uint8, (2, 4, 4, 4))


def test_items_depend_on_seed_epoch_and_index_alone(cases: list[PreparedCase]) -> None:
    patches = make_patches(cases)
    together = patches.read(0, range(12))
    torch.manual_seed(99)
    np.random.RandomState(99)
    for index in reversed(range(12)):
        alone = make_patches(cases).read(0, [index])
        assert torch.equal(alone["image"][0], together["image"][index])
        assert torch.equal(alone["label"][0], together["label"][index])
    assert len(torch.unique(together["image"].flatten(1), dim=0)) == 12
    assert not torch.equal(patches.read(1, [0])["image"][0], together["image"][0])
    other = make_patches(cases, seed=4).read(0, [0])
    assert not torch.equal(other["image"][0], together["image"][0])


@pytest.mark.parametrize("n_ahead", [0, 1, 3])
def test_every_number_of_threads_gives_the_same_batches(
    cases: list[PreparedCase], n_ahead: int
) -> None:
    patches = make_patches(cases)
    reader = BatchReader(patches, batch=5, n_ahead=n_ahead)
    batches = list(reader.read_epoch(2))
    assert [len(batch["label"]) for batch in batches] == [5, 5, 2]
    assert reader.n_batches == 3
    for first, batch in zip((0, 5, 10), batches, strict=True):
        assert_equal(batch, patches.read(2, range(first, min(first + 5, 12))))


def test_no_more_batches_are_read_than_there_are_threads(cases: list[PreparedCase]) -> None:
    seen: list[int] = []

    class Counted(Patches):
        def read(self, epoch: int, items: Sequence[int], empty: Empty = empty_new) -> Batch:
            seen.extend(items)
            return super().read(epoch, items, empty)

    patches = Counted(cases, (4, 4, 4), 12, 3, 0.5, augment=True)
    epoch = BatchReader(patches, batch=1, n_ahead=2).read_epoch(0)
    next(epoch)
    deadline = time.monotonic() + 5
    while len(seen) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert sorted(seen) == [0, 1, 2]  # one is used, two are ready


def test_memory_is_used_again_when_nobody_holds_a_batch_and_not_before(
    cases: list[PreparedCase],
) -> None:
    reader = BatchReader(make_patches(cases), batch=4)
    kept = [batch["image"][1:] for batch in reader.read_epoch(0)]  # views hold a batch
    copies = [image.clone() for image in kept]
    addresses = {image.data_ptr() for image in kept}
    again = list(reader.read_epoch(1))
    assert all(map(torch.equal, kept, copies))
    assert not addresses & {batch["image"][1:].data_ptr() for batch in again}
    del kept
    later = [batch["image"][1:] for batch in reader.read_epoch(2)]
    assert addresses == {image.data_ptr() for image in later}


def test_a_fault_of_a_thread_reaches_the_training(cases: list[PreparedCase]) -> None:
    lost = replace(cases[0], renew=None)
    reader = BatchReader(make_patches([lost]), batch=2, n_ahead=2)
    (lost.folder / "label.npy").unlink()
    with pytest.raises(DamagedError, match=r"label\.npy is missing"):
        list(reader.read_epoch(0))


def test_plain_patch_is_a_piece_of_the_case(cases: list[PreparedCase]) -> None:
    patches = Patches(cases[:1], (4, 5, 6), 20, 0, 0.0, augment=False)
    batch = patches.read(0, range(20))
    image, label = np.asarray(cases[0].image()), np.asarray(cases[0].label())
    found = 0
    for patch, classes in zip(batch["image"].numpy(), batch["label"].numpy(), strict=True):
        for d, h, w in np.ndindex(3, 4, 5):
            piece = image[:, d : d + 4, h : h + 5, w : w + 6]
            if np.array_equal(piece, patch):
                np.testing.assert_array_equal(label[d : d + 4, h : h + 5, w : w + 6], classes)
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
    patches = Patches(cases[:1], (10, 8, 13), 1, 0, 1.0, augment=False)
    item = {name: tensor[0] for name, tensor in patches.read(0, [0]).items()}
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


def test_augmentation_mirrors_image_and_label_together_and_bounds_intensities(
    cases: list[PreparedCase],
) -> None:
    shape = cases[0].shape
    image, label = cases[0].read_patch((0, 0, 0), shape)
    mirrors, drawn = set(), []
    for seed in range(64):
        change = Change.draw(len(image), np.random.default_rng(seed))
        new_image, new_label = np.empty_like(image), np.empty_like(label)
        cases[0].read_patch_into(new_image, new_label, (0, 0, 0), change)
        np.testing.assert_array_equal(change.mirror(new_label), label)
        pairs = zip(change.mirror(new_image), image, change.scale, change.shift, strict=True)
        for found, channel, scale, shift in pairs:
            np.testing.assert_array_equal(found, channel * scale + shift)
            drawn.append((float(scale), float(shift)))
        mirrors.add(change.mirrored)
    assert len(mirrors) == 8
    bounds = np.array(drawn)
    assert (np.abs(bounds - [1, 0]) <= 0.1 + 1e-5).all()
    assert (bounds.max(axis=0) - bounds.min(axis=0) > 0.18).all()
    assert len(np.unique(bounds.round(5), axis=0)) == 64 * len(image)  # each channel its own


def test_margin_is_augmented_as_the_volume_is(cases: list[PreparedCase]) -> None:
    shape = tuple(size + 4 for size in cases[0].shape)
    plain, classes = cases[0].read_patch((-2, -2, -2), (shape[0], shape[1], shape[2]))
    change = Change((0, 2), np.full(len(plain), 1.1, np.float32), np.full(4, 0.05, np.float32))
    image, label = np.empty_like(plain), np.empty_like(classes)
    cases[0].read_patch_into(image, label, (-2, -2, -2), change)
    expected = np.flip(plain, (1, 3)) * np.float32(1.1) + np.float32(0.05)
    np.testing.assert_array_equal(image, expected)
    np.testing.assert_array_equal(label, np.flip(classes, (0, 2)))


def test_bad_arguments_are_one_sentence(cases: list[PreparedCase]) -> None:
    with pytest.raises(ValueError, match="patches: at least one case is needed, got none"):
        Patches([], (4, 4, 4), 1, 0, 0.5, augment=False)
    with pytest.raises(
        ValueError, match=r"patches: sizes must be >= 1, got patch \(0, 4, 4\) and n_patches 1"
    ):
        Patches(cases, (0, 4, 4), 1, 0, 0.5, augment=False)
    with pytest.raises(ValueError, match=r"patches: foreground_frac must be in \[0, 1\], got 1.5"):
        Patches(cases, (4, 4, 4), 1, 0, 1.5, augment=False)
    with pytest.raises(IndexError):
        make_patches(cases).read(0, [12])
