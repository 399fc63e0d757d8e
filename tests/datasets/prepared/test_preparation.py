"""What a prepared case holds, and how it comes back onto the grid of its file."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from datasets.base import BadCasesError, Case, DataError, DatasetInfo, Region, Window
from datasets.brats import Brats
from datasets.prepared import arrays
from datasets.prepared.case import IMAGE
from datasets.prepared.intensity import scale_mri
from datasets.prepared.keys import Preparation
from datasets.prepared.prepare import prepare, prepare_case

SHAPE = (6, 8, 10)
Save = Callable[..., Path]
WINDOW = Window(-100, 300, 100, 50)
CT = DatasetInfo(
    "ct",
    "CT",
    "",
    "CT",
    ("ct",),
    ("background", "organ"),
    (0, 5),
    (Region("organ", (1,)),),
    "",
    "",
    WINDOW,
)


def read_raw(case: Case) -> np.ndarray:
    stored = [
        np.asarray(nib.load(path).dataobj)[::-1, ::-1].T for path in case.images.values()
    ]  # LPS -> RAS
    return np.stack(stored).astype(np.float32)


def make_ct(
    folder: Path, save: Save, codes: str = "LPS", name: str = "a"
) -> tuple[Case, np.ndarray, np.ndarray]:
    """A body of 8 x 10 x 12 in air, an organ in it; the values tell the place."""
    values = np.full((12, 16, 20), -1000, dtype=np.int16)
    values[2:10, 3:13, 5:17] = np.arange(960, dtype=np.int16).reshape(8, 10, 12) - 200
    label = np.zeros(values.shape, dtype=np.uint8)
    label[4:7, 5:9, 8:12] = 1
    image = save(folder / f"{name}.nii.gz", values, codes)
    truth = save(folder / f"{name}_seg.nii.gz", label * 5, codes)
    return Case(name, name, {"ct": image}, truth), values, label


def test_prepared_arrays_hold_the_files(brats_root: Path, tmp_path: Path) -> None:
    dataset = Brats(brats_root)
    cases = dataset.find_cases()
    heard: list[tuple[int, int]] = []
    prepared = prepare(
        dataset, cases, tmp_path / "cache", lambda done, total: heard.append((done, total))
    )
    assert heard == [(number, 6) for number in range(1, 7)]
    assert [case.id for case in prepared] == [case.id for case in cases]
    case, ready = cases[3], prepared[3]
    expected = read_raw(case)
    scale_mri(expected)
    assert (ready.shape, ready.spacing_mm) == (
        (6, 7, 10),
        (3.0, 2.0, 1.0),
    )  # one plane holds no brain
    assert np.load(ready.folder / IMAGE).dtype == np.float16
    np.testing.assert_allclose(ready.image(), expected[:, :, 1:], atol=2e-3)
    assert case.label is not None
    values = np.asarray(nib.load(case.label).dataobj)[::-1, ::-1].T
    np.testing.assert_array_equal(np.array([0, 1, 2, 4])[ready.reference()], values)
    np.testing.assert_array_equal(ready.label(), ready.reference()[:, 1:])
    assert ready.label().dtype == np.uint8


def test_ct_is_kept_in_hounsfield_units_and_scaled_when_it_is_read(
    tmp_path: Path, save: Save
) -> None:
    case, values, label = make_ct(tmp_path, save)
    ready = prepare_case(CT, case, Preparation(), tmp_path / "cache" / "a")
    body = np.s_[2:10, 3:13, 5:17]
    assert np.load(ready.folder / IMAGE).dtype == np.int16
    np.testing.assert_array_equal(np.load(ready.folder / IMAGE)[0], values[body])
    np.testing.assert_array_equal(ready.label(), label[body])
    expected = (np.clip(values[body].astype(np.float64), -100, 300) - 100) / 50
    np.testing.assert_allclose(ready.image()[0], expected, rtol=1e-6)
    image, classes = ready.read_patch((1, 2, 3), (2, 3, 4))
    np.testing.assert_array_equal(image, ready.image()[:, 1:3, 2:5, 3:7])
    np.testing.assert_array_equal(classes, ready.label()[1:3, 2:5, 3:7])
    np.testing.assert_array_equal(np.sort(ready.sample()[0]), np.sort(values[label == 1]))
    assert not (ready.folder / "reference.npy").exists()


@pytest.mark.parametrize("codes", ["IPL", "LAS", "RAS", "PSR"])
def test_copies_in_other_orientations_give_identical_arrays(
    codes: str, tmp_path: Path, save: Save
) -> None:
    settings = Preparation(spacing_mm=(3.0, 1.0, 1.0))
    one = prepare_case(CT, make_ct(tmp_path / "LPS", save)[0], settings, tmp_path / "cache" / "a")
    other = prepare_case(
        CT, make_ct(tmp_path / codes, save, codes)[0], settings, tmp_path / "cache" / codes
    )
    assert one.spacing_mm == other.spacing_mm
    for name in ("image.npy", "label.npy", "foreground.npy", "sample.npy"):
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes()
    np.testing.assert_array_equal(one.reference(), other.reference())


def test_resampled_case_is_scored_on_its_own_grid(tmp_path: Path, save: Save) -> None:
    case, _, label = make_ct(tmp_path, save)  # spacing 3, 2, 1
    ready = prepare_case(
        CT, case, Preparation(spacing_mm=(1.5, 2.0, 2.0)), tmp_path / "cache" / "a"
    )
    assert ready.shape == (16, 10, 6)
    assert ready.spacing_mm == (3.0, 2.0, 1.0)
    ramp = np.load(ready.folder / IMAGE)[0].astype(int)
    assert abs(np.diff(ramp[2:-2, 4, 3]) - 60).max() <= 1  # half of 120 a slice
    np.testing.assert_array_equal(ready.reference(), label)
    restored = ready.restore(ready.label())
    assert restored.shape == label.shape
    assert (
        2 * (restored & label).sum() / (restored.sum() + label.sum()) == 0.75
    )  # one voxel in 4 of a row


def test_finer_grid_and_back_is_exact(tmp_path: Path, save: Save) -> None:
    case, _, label = make_ct(tmp_path, save)
    ready = prepare_case(
        CT, case, Preparation(spacing_mm=(1.0, 1.0, 0.5)), tmp_path / "cache" / "a"
    )
    assert ready.shape == (24, 20, 24)
    np.testing.assert_array_equal(ready.restore(ready.label()), label)


def test_label_outside_the_body_is_not_lost_to_scoring(tmp_path: Path, save: Save) -> None:
    case, _, label = make_ct(tmp_path, save)
    assert case.label is not None
    label[0, 0, 0] = 1
    save(case.label, label * 5)
    ready = prepare_case(CT, case, Preparation(), tmp_path / "cache" / "a")
    np.testing.assert_array_equal(ready.reference(), label)
    assert ready.restore(ready.label()).sum() == label.sum() - 1


def test_case_of_unknown_spacing_is_not_resampled(tmp_path: Path, save: Save) -> None:
    case, values, _ = make_ct(tmp_path, save)
    save(case.images["ct"], values, "LPS", (1.0, 1.0, 1.0))
    unknown = Case(case.id, case.patient, case.images, None, spacing_known=False)
    assert prepare_case(CT, unknown, Preparation(), tmp_path / "cache" / "a").spacing_known is False
    with pytest.raises(
        DataError, match="case a cannot be resampled, its header does not tell the spacing"
    ):
        prepare_case(CT, unknown, Preparation(spacing_mm=(2, 2, 2)), tmp_path / "cache" / "b")


def test_volume_without_a_body_stays_whole(tmp_path: Path, save: Save) -> None:
    path = save(tmp_path / "air.nii.gz", np.full(SHAPE, -1000, dtype=np.int16))
    ready = prepare_case(
        CT, Case("air", "air", {"ct": path}, None), Preparation(), tmp_path / "cache" / "air"
    )
    assert ready.shape == SHAPE


def test_absurd_hounsfield_units_are_kept_within_int16(tmp_path: Path, save: Save) -> None:
    values = np.full(SHAPE, 40.4, dtype=np.float32)
    values[0, 0, :2] = (1e6, -1e6)
    path = save(tmp_path / "odd.nii.gz", values)
    ready = prepare_case(
        CT, Case("odd", "odd", {"ct": path}, None), Preparation(), tmp_path / "cache" / "odd"
    )
    assert np.load(ready.folder / IMAGE)[0, 0, 0, :3].tolist() == [32767, -32768, 40]


def test_foreground_lists_voxels_of_each_class(
    brats_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "MAX_FOREGROUND", 10)
    dataset = Brats(brats_root)
    ready = prepare(dataset, dataset.find_cases()[:1], tmp_path)[0]
    label = np.asarray(ready.label())
    assert ready.n_foreground == (1, 10, 10)
    for index, voxels in enumerate(ready.foreground(), start=1):
        assert voxels.shape == (ready.n_foreground[index - 1], 3)
        assert len(np.unique(voxels, axis=0)) == len(voxels)
        assert set(label[tuple(voxels.T)].tolist()) == {index}


def test_prepared_case_is_small_to_send(brats_root: Path, tmp_path: Path) -> None:
    dataset = Brats(brats_root)
    ready = prepare(dataset, dataset.find_cases()[:1], tmp_path)[0]
    sent = pickle.dumps(ready)
    assert len(sent) < 2000  # no array, but the paths of its files and the facts of its data set
    np.testing.assert_array_equal(pickle.loads(sent).image(), ready.image())
    with pytest.raises(ValueError, match="read-only"):
        ready.label()[0] = 0


def test_case_without_label_has_only_an_image(tmp_path: Path, brats_root: Path) -> None:
    dataset = Brats(brats_root)
    first = dataset.find_cases()[0]
    ready = prepare(dataset, [Case(first.id, first.patient, first.images, None)], tmp_path)[0]
    assert ready.image().shape == (4, 6, 7, 10)
    with pytest.raises(DataError, match="case BraTS20_Training_001 has no label"):
        ready.label()


def test_case_without_foreground_is_prepared(tmp_path: Path, brats_root: Path, save: Save) -> None:
    dataset = Brats(brats_root)
    case = dataset.find_cases()[0]
    assert case.label is not None
    save(case.label, np.zeros(SHAPE, dtype=np.uint8))
    ready = prepare(dataset, [case], tmp_path)[0]
    assert ready.n_foreground == (0, 0, 0)
    assert [len(voxels) for voxels in ready.foreground()] == [0, 0, 0]
    assert not ready.label().any()


def test_record_says_what_it_was_made_of(brats_root: Path, tmp_path: Path) -> None:
    dataset = Brats(brats_root)
    case = dataset.find_cases()[0]
    record = json.loads((prepare(dataset, [case], tmp_path)[0].folder / "case.json").read_text())
    stored = nib.load(case.images["t1"])
    assert (record["id"], record["patient"], record["source"]) == (
        case.id,
        case.patient,
        str(case.images["flair"]),
    )
    assert tuple(record["stored_shape"]) == stored.shape
    np.testing.assert_array_equal(record["stored_affine"], stored.affine)
    assert (record["box_start"], record["box_size"]) == ([0, 1, 0], [6, 7, 10])


def test_all_unusable_cases_are_named_at_once(brats_root: Path, tmp_path: Path) -> None:
    dataset = Brats(brats_root)
    cases = dataset.find_cases()
    cases[1].images["t1"].write_bytes(b"")
    label = cases[4].label
    assert label is not None
    label.write_bytes(label.read_bytes()[:60])
    with pytest.raises(BadCasesError) as caught:
        prepare(dataset, cases, tmp_path / "cache")
    assert [problem.case for problem in caught.value.problems] == [cases[1].id, cases[4].id]
    assert all(str(path) in str(caught.value) for path in (cases[1].images["t1"], label))
    assert len(list((tmp_path / "cache" / "brats2020").glob("BraTS*"))) == 4
