"""Voxels with nnU-Net's label "ignore" are neither trained on nor scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

import datasets
from bench.run.training.loss import build_loss
from bench.run.training.step import silence
from bench.scoring.metrics import Scoring, score_case
from bench.specs.protocol import DICE, DICE_CE, EvalSpec
from datasets.base import IGNORED_CLASS
from datasets.nnunet.export import ExportOptions, export_dataset
from datasets.prepared.batches.patches import Patches
from datasets.prepared.prepare import prepare
from datasets.volumes.checking import check_dataset
from datasets.volumes.reading import read_image, read_label

LABELS = {"background": 0, "whole": [1, 2, 3], "core": [1, 3], "rim": 3, "ignore": 4}
N_IGNORED = 2 * 3 * 4


@pytest.fixture
def root(make_root: Callable[..., Path]) -> Path:
    folder = make_root(labels=LABELS)
    for file in (folder / "labelsTr").iterdir():
        stored = nib.load(file)
        values = np.asarray(stored.dataobj).copy()
        values[2:6, 3:6, 2:4] = 4  # half of the tumour, and air
        nib.save(nib.Nifti1Image(values, stored.affine), file)
    return folder


def test_the_value_is_read_as_no_class(root: Path, tmp_path: Path) -> None:
    dataset = datasets.build(root.name, root)
    info = dataset.info
    assert (info.label_values, info.ignored_value) == ((0, 1, 2, 3), 4)
    assert [region.name for region in info.regions] == ["whole", "core", "rim"]
    assert check_dataset(dataset, jobs=1).problems == ()
    case = dataset.find_labelled()[0]
    classes = read_label(case, info, read_image(case)[1])
    assert np.count_nonzero(classes == IGNORED_CLASS) == N_IGNORED
    other = replace(info, ignored_value=None)
    with pytest.raises(ValueError, match=r"may hold 0, 1, 2, 3, found 4"):
        read_label(case, other, read_image(case)[1])
    (ready,) = prepare(dataset, [case], tmp_path / "cache")
    assert sum(ready.n_foreground) == np.count_nonzero((classes > 0) & (classes < IGNORED_CLASS))
    assert np.count_nonzero(np.asarray(ready.reference()) == IGNORED_CLASS) == N_IGNORED


def test_patches_name_what_is_ignored(root: Path, tmp_path: Path) -> None:
    dataset = datasets.build(root.name, root)
    cases = prepare(dataset, dataset.find_labelled()[:1], tmp_path / "cache")
    (whole,) = cases
    patches = Patches(cases, whole.shape, 1, 0, 0.0, augment=True, has_ignored=True)
    batch = patches.read(0, [0])
    assert int(batch["ignored"].sum()) == N_IGNORED
    assert int(batch["label"].max()) == 3
    assert not batch["label"][batch["ignored"]].any()
    assert set(replace(patches, has_ignored=False).read(0, [0])) == {"image", "label"}


@pytest.mark.parametrize("name", [DICE, DICE_CE])
def test_ignored_voxels_add_nothing_to_the_loss(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 4, 6, 6, generator=generator, requires_grad=True)
    label = torch.randint(0, 4, (2, 4, 6, 6), generator=generator)
    ignored = torch.zeros(2, 4, 6, 6, dtype=torch.bool)
    ignored[:, :, :3] = True
    loss = build_loss(name)(silence(logits, ignored), label.masked_fill(ignored, 0)[:, None])
    (gradient,) = torch.autograd.grad(loss, logits)
    assert not gradient[:, :, :, :3].any()
    assert gradient[:, :, :, 3:].any()
    kept = logits[:, :, :, 3:], label[:, :, 3:][:, None]
    alone = build_loss(DICE)(*kept) if name == DICE else None
    if alone is not None:  # Dice counts voxels: as if there were no others
        torch.testing.assert_close(loss, alone)


def test_ignored_voxels_are_not_scored(root: Path) -> None:
    info = datasets.build(root.name, root).info
    reference = np.zeros((4, 8, 8), np.uint8)
    reference[1:3, 2:6, 2:6] = 2
    prediction = reference.copy()
    reference[0] = reference[1, :4] = IGNORED_CLASS
    prediction[0] = 2  # wrong, if it counted
    rows = score_case("a", prediction, reference, (1.0, 1.0, 1.0), Scoring(info, EvalSpec()))
    assert (rows[0].dice, rows[0].hd95_mm) == (1, 0)
    assert rows[0].n_predicted_vox == rows[0].n_reference_vox == 24
    plain = replace(info, ignored_value=None)
    assert score_case("a", prediction, reference, None, Scoring(plain, EvalSpec()))[0].dice < 1


def test_an_export_keeps_what_is_ignored(root: Path, tmp_path: Path) -> None:
    dataset = datasets.build(root.name, root)
    written = export_dataset(dataset, tmp_path / "raw", ExportOptions(7, n_folds=3))
    content = json.loads((written.folder / "dataset.json").read_text())
    assert content["labels"] == LABELS
    for file in (root / "labelsTr").iterdir():
        copy = nib.load(written.folder / "labelsTr" / file.name)
        np.testing.assert_array_equal(np.asarray(copy.dataobj), np.asarray(nib.load(file).dataobj))
