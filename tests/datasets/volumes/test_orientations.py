"""One kidney stored in many ways: training sees the same, predictions have each file's own grid."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.eulerangles import euler2mat

import datasets
from datasets.base import IGNORED_CLASS
from datasets.kits import Kits
from datasets.phantoms.files import build_geometry
from datasets.prepared.keys import Preparation
from datasets.prepared.prepare import prepare_case
from datasets.volumes.writing import write_classes

SHAPE, SPACING_MM = (
    (14, 18, 22),
    (3.0, 0.78125, 0.75),
)  # (D, H, W), all different so that a swapped axis shows
COPIES = [
    "IPL",
    "LAS",
    "LPS",
    "RAS",
    "PIR",
    "oblique",
]  # PIR: turning it twice is not turning it back
ORIGIN_MM = (-101.5, 33.25, 1200.0)


def write_copy(root: Path, copy: str, *, compress: bool = True) -> Path:
    """Write a body with a kidney and a tumour, not symmetric; the oblique copy is tilted LPS."""
    rng = np.random.default_rng(3)
    image = np.full(SHAPE, -1000, dtype=np.int16)
    image[1:13, 2:15, 3:21] = rng.integers(-200, 300, (12, 13, 18))
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[3:9, 4:11, 5:12] = 1
    label[4:6, 5:7, 6:11] = 2
    geometry = build_geometry(SHAPE, "LPS" if copy == "oblique" else copy, SPACING_MM)
    affine = geometry.affine.copy()
    if copy == "oblique":
        affine[:3, :3] = euler2mat(z=0.05, x=np.deg2rad(10)) @ affine[:3, :3]
    affine[:3, 3] = ORIGIN_MM
    folder = root / "kits19" / "case_00001"
    folder.mkdir(parents=True)
    ending = ".nii.gz" if compress else ".nii"
    for name, volume in (("imaging", image), ("segmentation", label)):
        nib.save(nib.Nifti1Image(geometry.to_stored(volume), affine), folder / f"{name}{ending}")
    return folder


@pytest.mark.parametrize("settings", [Preparation(), Preparation(spacing_mm=(2.0, 1.0, 1.0))])
def test_copies_are_prepared_to_identical_arrays(settings: Preparation, tmp_path: Path) -> None:
    contents = []
    for copy in COPIES:
        write_copy(tmp_path / copy, copy)
        dataset = Kits(tmp_path / copy)
        (case,) = dataset.find_cases()
        ready = prepare_case(dataset.info, case, settings, tmp_path / "cache" / copy)
        arrays = {file.name: file.read_bytes() for file in ready.folder.glob("*.npy")}
        contents.append(
            (arrays, ready.reference().tobytes(), ready.spacing_mm, ready.shape, ready.n_foreground)
        )
    assert set(contents[0][0]) >= {"image.npy", "label.npy", "foreground.npy", "sample.npy"}
    assert [content == contents[0] for content in contents] == [True] * len(COPIES)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("copy", COPIES)
def test_what_is_written_back_overlays_the_input(copy: str, compress: bool, tmp_path: Path) -> None:
    folder = write_copy(tmp_path / copy, copy, compress=compress)
    dataset = datasets.build("kits", tmp_path / copy)
    (case,) = dataset.find_cases()
    ready = prepare_case(dataset.info, case, Preparation(), tmp_path / "cache" / copy)
    assert ready.shape == (12, 13, 18)  # cropped to the body
    output = tmp_path / "out" / "seg.nii.gz"
    image_file = case.images["ct"]
    write_classes(
        ready.restore(ready.label()), dataset.info, ready.frame().geometry, image_file, output
    )
    written, source = nib.load(output), nib.load(image_file)
    truth = nib.load(next(folder.glob("segmentation*")))
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), np.asanyarray(truth.dataobj))
    np.testing.assert_array_equal(written.affine, source.affine)
    kept = (
        "dim",
        "pixdim",
        "qform_code",
        "sform_code",
        "quatern_b",
        "quatern_c",
        "quatern_d",
        "qoffset_x",
        "qoffset_y",
    )
    for field in (*kept, "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units", "descrip"):
        np.testing.assert_array_equal(written.header[field], source.header[field], err_msg=field)
    assert written.get_data_dtype() == np.uint8
    assert [path.name for path in output.parent.iterdir()] == ["seg.nii.gz"]


def test_values_are_those_of_the_release(tmp_path: Path) -> None:
    """Enhancing tumour is 4 up to BraTS 2021, 3 in BraTS 2023 and the Decathlon."""
    source = tmp_path / "image.nii.gz"
    header = nib.Nifti1Header()
    header["descrip"], header["cal_max"] = b"T1", 900
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 1), dtype=np.int16), np.eye(4), header), source)
    geometry = build_geometry((1, 2, 2), "RAS", (1.0, 1.0, 1.0))
    classes = np.array([[[0, 1], [2, 3]]], dtype=np.uint8)
    for release, values in (
        ("brats2021", [0, 1, 2, 4]),
        ("brats2023", [0, 1, 2, 3]),
        ("msd01", [0, 2, 1, 3]),
    ):
        info = datasets.get("brats").describe(release)
        output = tmp_path / f"{release}.nii"
        write_classes(classes, info, geometry, source, output)
        assert (
            geometry.to_canonical(np.asanyarray(nib.load(output).dataobj)).ravel().tolist()
            == values
        )
        assert nib.load(output).header["cal_max"] == 0


@pytest.mark.parametrize(
    ("values", "ignored", "kind"),
    [
        ((0, 1), None, np.uint8),
        ((0, 255), 256, np.int16),
        ((0, -1), None, np.int16),
        ((0, 40000), None, np.int32),
    ],
)
def test_every_value_fits_the_file(
    values: tuple[int, int], ignored: int | None, kind: type, tmp_path: Path
) -> None:
    source, output = tmp_path / "image.nii", tmp_path / "label.nii"
    nib.save(nib.Nifti1Image(np.zeros((3, 1, 1), dtype=np.int16), np.eye(4)), source)
    info = replace(
        datasets.get("kits").describe("kits19"), label_values=values, ignored_value=ignored
    )
    classes = np.array([[[0, 1, IGNORED_CLASS]]], dtype=np.uint8)
    geometry = build_geometry((1, 1, 3), "RAS", (1.0, 1.0, 1.0))
    write_classes(classes, info, geometry, source, output)
    written = np.asanyarray(nib.load(output).dataobj)
    assert written.dtype == kind
    assert written.ravel().tolist() == [*values, ignored or 0]


def test_record_tells_the_copies_apart(tmp_path: Path) -> None:
    stored = set()
    for copy in COPIES:
        write_copy(tmp_path / copy, copy)
        dataset = Kits(tmp_path / copy)
        ready = prepare_case(
            dataset.info, dataset.find_cases()[0], Preparation(), tmp_path / "cache" / copy
        )
        stored.add(
            json.dumps(json.loads((ready.folder / "case.json").read_text())["stored_affine"])
        )
    assert len(stored) == len(COPIES)
