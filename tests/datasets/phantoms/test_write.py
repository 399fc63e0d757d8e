from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import datasets
from datasets.base import SYNTHETIC_MARKER, SYNTHETIC_PLAN, DataError
from datasets.phantoms import write
from datasets.phantoms.layouts import DEFAULT_LAYOUT
from datasets.phantoms.write import draw_patient, write_phantoms
from datasets.prepared.intensity import scale_mri
from datasets.prepared.prepare import prepare

SMALL = (16, 32, 32)
BRATS_FILES = {
    f"BraTS20_Training_001/BraTS20_Training_001_{role}.nii.gz"
    for role in ("flair", "t1", "t1ce", "t2", "seg")
}
KITS_FILES = {"case_00000/imaging.nii.gz", "case_00000/segmentation.nii.gz", "kits.json"}
BATCH = "media/nas/01_Datasets/CT/LITS/Training Batch 1"
LITS_FILES = {f"{BATCH}/volume-0.nii", f"{BATCH}/segmentation-0.nii"}


def hash_files(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): hashlib.sha1(path.read_bytes()).hexdigest() for path in files
    }


@pytest.mark.parametrize("name", datasets.names())
def test_real_loader_reads_back_what_was_drawn(name: str, tmp_path: Path) -> None:
    root = tmp_path / name
    write_phantoms(name, root, 3, seed=5, shape=SMALL)
    dataset = datasets.build(name, root)
    assert dataset.synthetic
    cases = dataset.find_cases()
    assert len(cases) == 3
    for index, ready in enumerate(prepare(dataset, cases, tmp_path / "cache")):
        patient = draw_patient(name, index, seed=5, shape=SMALL)
        np.testing.assert_array_equal(ready.reference(), patient.classes)
        values = np.rint(patient.image).astype(np.float32)
        if dataset.info.window is None:
            scale_mri(values)
        else:
            dataset.info.window.scale_in_place(values)
        np.testing.assert_allclose(ready.image(), ready.frame().cut(values), atol=5e-3)


@pytest.mark.parametrize(
    ("name", "files", "codes", "spacing_mm"),
    [
        ("brats", BRATS_FILES, "LPS", (1.0, 1.0, 1.0)),
        ("kits", KITS_FILES, "IPL", (3.0, 0.78125, 0.78125)),
        ("lits", LITS_FILES, "LPS", (0.765625, 0.765625, 1.0)),
    ],
)
def test_layout_is_that_of_the_release(
    name: str, files: set[str], codes: str, spacing_mm: tuple[float, ...], tmp_path: Path
) -> None:
    write_phantoms(name, tmp_path, 1, shape=(16, 20, 24))
    assert set(hash_files(tmp_path)) == {*files, SYNTHETIC_MARKER}
    values = datasets.get(name).describe(DEFAULT_LAYOUT[name]).label_values
    for file in files - {"kits.json"}:
        image = nib.load(tmp_path / file)
        assert nib.aff2axcodes(image.affine) == tuple(codes)
        np.testing.assert_allclose(image.header.get_zooms(), spacing_mm)
        assert image.shape == ((16, 20, 24) if name == "kits" else (24, 20, 16))
        is_label = "seg" in file
        assert image.get_data_dtype() == (np.uint8 if is_label else np.int16)
        if is_label:
            assert set(np.unique(image.dataobj).tolist()) == set(values)


@pytest.mark.parametrize("name", datasets.names())
def test_same_call_same_bytes(name: str, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_phantoms(name, tmp_path / folder, 2, seed=1, shape=SMALL)
    assert hash_files(tmp_path / "a") == hash_files(tmp_path / "b")
    write_phantoms(name, tmp_path / "c", 2, seed=2, shape=SMALL)
    volumes = [
        {hash_ for file, hash_ in hash_files(tmp_path / each).items() if ".nii" in file}
        for each in "ac"
    ]
    assert not volumes[0] & volumes[1]


@pytest.mark.parametrize("name", datasets.names())
def test_every_case_has_every_class(name: str) -> None:
    n_classes = len(datasets.get(name).describe(DEFAULT_LAYOUT[name]).classes)
    for index in range(12):
        patient = draw_patient(name, index)
        counts = np.bincount(patient.classes.ravel(), minlength=n_classes)
        assert counts[1:].min() > 100, (index, counts)
        assert np.isfinite(patient.image).all()


def test_tumour_is_nested_and_the_brain_stripped() -> None:
    for index in range(4):
        patient = draw_patient("brats", index)
        core, whole = np.isin(patient.classes, (1, 3)), patient.classes > 0
        grown = np.logical_or.reduce(
            [np.roll(patient.classes == 1, step, axis) for step in (-1, 1) for axis in (1, 2)]
        )
        assert (grown & core).sum() / grown.sum() > 0.95  # a rim is around the necrosis
        assert not patient.image[:, patient.image[0] == 0].any()
        assert (patient.image[:, whole] > 0).all()


@pytest.mark.parametrize("place", [".", "kits23", "kits23/dataset", "linked", "datalist.json"])
def test_a_case_is_synthetic_wherever_the_root_is(place: str, tmp_path: Path) -> None:
    write_phantoms("kits23", tmp_path / "kits23", 3, shape=SMALL)
    (tmp_path / "else" / "linked").mkdir(parents=True)
    for folder in (tmp_path / "kits23" / "dataset").iterdir():
        if folder.is_dir():
            (tmp_path / "else" / "linked" / folder.name).symlink_to(folder)
    if place == "datalist.json":
        image, label = sorted((tmp_path / "kits23").rglob("case_00000/*.nii.gz"))[:2]
        listed = {
            "name": "own", "modality": "CT", "labels": {"background": 0, "organ": 1},
            "training": [{"image": str(image), "label": str(label)}],
        }  # fmt: skip
        (tmp_path / "else" / place).write_text(json.dumps(listed), encoding="utf-8")
    root = next(each for each in (tmp_path / "else" / place, tmp_path / place) if each.exists())
    kind = str(root) if place == "datalist.json" else "kits23"
    assert datasets.open_root(kind, root).discovery.cases
    assert datasets.open_root(kind, root).synthetic


def test_interrupted_root_is_synthetic_and_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantoms("kits", tmp_path / "a", 4, shape=SMALL, on_case=die)
    assert not (tmp_path / "a" / SYNTHETIC_MARKER).exists()
    assert datasets.build("kits", tmp_path / "a").synthetic
    drawn: list[int] = []
    draw = write.draw_patient
    monkeypatch.setattr(
        write,
        "draw_patient",
        lambda name, index, *rest: drawn.append(index) or draw(name, index, *rest),
    )
    write_phantoms("kits", tmp_path / "a", 4, shape=SMALL)
    assert drawn == [2, 3]
    write_phantoms("kits", tmp_path / "a", 4, shape=SMALL)
    assert drawn == [2, 3]
    write_phantoms("kits", tmp_path / "b", 4, shape=SMALL)
    assert hash_files(tmp_path / "a") == hash_files(tmp_path / "b")
    assert not (tmp_path / "a" / SYNTHETIC_PLAN).exists()


def test_more_cases_are_added_and_the_old_ones_kept(tmp_path: Path) -> None:
    write_phantoms("lits", tmp_path, 1, shape=SMALL)
    before = hash_files(tmp_path)
    write_phantoms("lits", tmp_path, 2, shape=SMALL)
    after = hash_files(tmp_path)
    assert all(after[file] == before[file] for file in before if file != SYNTHETIC_MARKER)
    marker = json.loads((tmp_path / SYNTHETIC_MARKER).read_text())
    assert marker == {
        "generator": "datasets.phantom",
        "version": write.GENERATOR_VERSIONS["lits"],
        "dataset": "lits",
        "layout": "lits17",
        "n_cases": 2,
        "seed": 0,
        "shape": list(SMALL),
    }


def test_other_data_are_never_mixed_with_phantoms(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "volume-0.nii").touch()
    with pytest.raises(
        DataError, match=f"phantom: {tmp_path}/real holds files that are not synthetic data"
    ):
        write_phantoms("lits", tmp_path / "real", 1, shape=SMALL)
    write_phantoms("lits", tmp_path / "other", 2, shape=SMALL)
    for arguments in ({"seed": 1, "n_cases": 2}, {"seed": 0, "n_cases": 1}):
        with pytest.raises(
            DataError,
            match=f"phantom: {tmp_path}/other holds .* asked for .* \\(give another folder",
        ):
            write_phantoms("lits", tmp_path / "other", shape=SMALL, **arguments)


def test_bad_arguments_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown data set 'brtas'"):
        write_phantoms("brtas", tmp_path, 1)
    with pytest.raises(
        ValueError, match=r"phantom: n_cases must be >= 1 and sizes >= 16, got 0 and \(32, 64, 64\)"
    ):
        write_phantoms("brats", tmp_path, 0)
    with pytest.raises(ValueError, match=r"got 1 and \(8, 64, 64\)"):
        write_phantoms("brats", tmp_path, 1, shape=(8, 64, 64))
