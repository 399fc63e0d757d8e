"""A case segmented with the network of a run.

What is written is what the run itself scored, on the file's own grid.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch

from bench.cli.app import main
from bench.prediction.networks import read_cutoff
from bench.scoring.metrics import dice, region_mask
from bench.specs.run import RunSpec
from datasets.base import DataError
from datasets.brats import Brats
from reports.records.run import RunResult

pytestmark = pytest.mark.slow  # it trains a network that sees something

VALUES = {0: 0, 1: 1, 2: 2, 4: 3}  # of BraTS 2020 -> class
NECROSIS, ENHANCING = 1, 3
MIN_VOX = 6  # of enhancing tumour, in the protocol of the run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return {"out": tmp_path_factory.mktemp("results")}


@pytest.fixture
def run(
    finished: dict[str, object],
    make_run: Callable[..., RunSpec],
    carry_out: Callable[..., RunResult],
) -> tuple[Path, RunSpec, RunResult]:
    """A run that is carried out once for all tests."""
    spec, out = make_run("lora"), finished["out"]
    assert isinstance(out, Path)
    data = replace(
        spec.protocol.data, patches_per_epoch=12, foreground_frac=1.0
    )  # enough steps to see some tumour
    train = replace(spec.protocol.train, epochs=4, val_every=4)
    scoring = replace(spec.protocol.eval, et_min_vox=str(MIN_VOX))
    spec = replace(spec, protocol=replace(spec.protocol, data=data, train=train, eval=scoring))
    if "result" not in finished:
        finished["result"] = carry_out(spec, out / "runs" / spec.run_id)
    result = finished["result"]
    assert isinstance(result, RunResult)
    assert result.status == "done", result.reason
    return out, spec, result


def classes_of(file: Path) -> np.ndarray:
    values = np.asanyarray(nib.load(file).dataobj)
    assert set(np.unique(values).tolist()) <= set(VALUES)
    return np.vectorize(VALUES.get)(values)


def predict(out: Path, spec: RunSpec, output: Path, *inputs: str) -> int:
    words = [word for each in inputs for word in ("--input", each)]
    return main(
        [
            "predict",
            "--run",
            spec.run_id,
            "--out",
            str(out),
            *words,
            "--output",
            str(output),
            "--device",
            "cpu",
        ]
    )


def test_every_way_to_name_a_case_gives_what_the_run_scored(
    run: tuple[Path, RunSpec, RunResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, spec, result = run
    assert result.postprocessing is not None
    scores = {(row.case, row.region): row for row in (*result.cases, *result.postprocessing.cases)}
    case = next(each for each in Brats(spec.root).find_cases() if (each.id, "WT") in scores)
    assert case.label is not None
    ways = {
        "id": [case.id],
        "folder": [str(case.label.parent)],
        "files": [f"{channel}={path}" for channel, path in reversed(case.images.items())],
    }
    for way, inputs in ways.items():
        assert predict(out, spec, tmp_path / f"{way}.nii.gz", *inputs) == 0
        assert capsys.readouterr().out.startswith(f"wrote {tmp_path}/{way}.nii.gz: case ")
    written = classes_of(tmp_path / "id.nii.gz")
    assert written.any(), "a prediction without foreground would agree with anything empty"
    truth = classes_of(case.label)
    for region in Brats(spec.root).info.regions:
        row = scores[case.id, region.name]
        assert dice(region_mask(written, region), region_mask(truth, region)) == pytest.approx(
            row.dice, abs=1e-12
        )
    for way in ("folder", "files"):
        np.testing.assert_array_equal(classes_of(tmp_path / f"{way}.nii.gz"), written)
    source, header = nib.load(case.images["flair"]), nib.load(tmp_path / "id.nii.gz").header
    np.testing.assert_array_equal(nib.load(tmp_path / "id.nii.gz").affine, source.affine)
    assert header["xyzt_units"] == source.header["xyzt_units"]


def test_a_case_without_a_label_can_be_predicted(
    run: tuple[Path, RunSpec, RunResult], tmp_path: Path
) -> None:
    out, spec, _ = run
    case = Brats(spec.root).find_cases()[0]
    folder = tmp_path / "x" / "BraTS20_Validation_001"
    folder.mkdir(parents=True)
    for channel, path in case.images.items():
        shutil.copy(path, folder / f"BraTS20_Validation_001_{channel}.nii.gz")
    assert predict(out, spec, tmp_path / "new.nii", str(folder)) == 0
    assert predict(out, spec, tmp_path / "old.nii", case.id) == 0
    np.testing.assert_array_equal(
        classes_of(tmp_path / "new.nii"), classes_of(tmp_path / "old.nii")
    )


@pytest.mark.parametrize(("n_vox", "written"), [(MIN_VOX - 1, NECROSIS), (MIN_VOX, ENHANCING)])
def test_the_protocol_decides_from_when_on_enhancing_tumour_is_written(
    n_vox: int,
    written: int,
    run: tuple[Path, RunSpec, RunResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, spec, _ = run

    def paint(image: np.ndarray) -> torch.Tensor:
        logits = torch.zeros(4, *image.shape[1:])
        logits[0] = 1
        logits[ENHANCING, 4, 8, 8 : 8 + n_vox] = 2
        return logits

    painter = SimpleNamespace(compute_logits=paint)
    monkeypatch.setattr("bench.prediction.networks.Predictor", lambda *settings: painter)
    assert predict(out, spec, tmp_path / "painted.nii.gz", Brats(spec.root).find_cases()[0].id) == 0
    found = classes_of(tmp_path / "painted.nii.gz")
    assert (np.count_nonzero(found == written), np.count_nonzero(found)) == (n_vox, n_vox)


def test_a_cutoff_that_the_run_chose_is_read_from_its_result(
    run: tuple[Path, RunSpec, RunResult],
) -> None:
    out, spec, _ = run
    assert read_cutoff(out / "runs" / spec.run_id, "auto") == MIN_VOX
    with pytest.raises(
        DataError, match=r"must have a result\.json with the cutoff that the run chose"
    ):
        read_cutoff(out, "auto")


BAD = {
    "another id": (
        ["BraTS20_Training_999"],
        "input: must be one case, got 0 with the id BraTS20_Training_999 below {root}",
    ),
    "a root": (
        ["{root}"],
        "input: must be one case, got 5 in the folder {root} (BraTS20_Training_001, "
        "BraTS20_Training_002, BraTS20_Training_003 and 2 more)",
    ),
    "one file": (
        ["{root}/x.nii.gz"],
        "input: a case of BraTS 2020 has 4 volumes, got the file {root}/x.nii.gz (give its folder, "
        "or --input CHANNEL=FILE for each of flair, t1ce, t1, t2)",
    ),
    "three channels": (
        ["flair=a.nii", "t1=b.nii", "t2=c.nii"],
        "input: must give a file for each of flair, t1ce, t1, t2, got flair, t1, t2",
    ),
    "two words": (
        ["a", "b"],
        "input: must be one case, or CHANNEL=FILE for each channel, got a, b",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(
    name: str,
    run: tuple[Path, RunSpec, RunResult],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, spec, _ = run
    inputs, sentence = BAD[name]
    assert (
        predict(
            out, spec, tmp_path / "seg.nii.gz", *(each.format(root=spec.root) for each in inputs)
        )
        == 2
    )
    assert capsys.readouterr().err == f"error: {sentence.format(root=spec.root)}\n"
    assert not list(tmp_path.glob("*seg*"))


def test_outputs_and_runs_are_checked_before_anything_is_read(
    run: tuple[Path, RunSpec, RunResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, spec, _ = run
    kept = tmp_path / "seg.nii.gz"
    kept.write_bytes(b"mine")
    assert predict(out, spec, kept, "x") == 2
    assert (
        capsys.readouterr().err
        == f"error: --output: {kept} is there already (give another name, or delete it)\n"
    )
    assert kept.read_bytes() == b"mine"
    assert predict(out, spec, tmp_path / "seg.npy", "x") == 2
    assert (
        capsys.readouterr().err
        == "error: --output: must end in .nii or .nii.gz, or be a folder, for many cases, got "
        f"{tmp_path}/seg.npy\n"
    )
    near = spec.run_id[:-2]
    arguments = ["--input", "x", "--output", str(tmp_path / "s.nii")]
    assert main(["predict", "--run", near, "--out", str(out), *arguments]) == 2
    assert capsys.readouterr().err == (
        f"error: --run: no run '{near}' with a trained network (did you mean '{spec.run_id}'?; "
        "--out says where runs are)\n"
    )
    assert (
        json.loads((out / "runs" / spec.run_id / "result.json").read_text())["test_reads"] == 1
    )  # no read of the fold


def test_a_case_in_micrometres_has_the_volumes_of_the_same_in_mm(
    run: tuple[Path, RunSpec, RunResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, spec, _ = run
    case = Brats(spec.root).find_cases()[0]
    inputs = []
    for channel, path in case.images.items():
        source = nib.load(path)
        affine = np.diag([1000, 1000, 1000, 1]) @ source.affine
        image = nib.Nifti1Image(np.asanyarray(source.dataobj), affine)
        image.header.set_xyzt_units("micron")
        nib.save(image, tmp_path / f"{channel}.nii.gz")
        inputs.append(f"{channel}={tmp_path}/{channel}.nii.gz")
    assert predict(out, spec, tmp_path / "um.nii", *inputs) == 0
    assert predict(out, spec, tmp_path / "mm.nii", case.id) == 0
    um, mm = capsys.readouterr().out.splitlines()
    assert um.split(",", 1)[1] == mm.split(",", 1)[1]
    np.testing.assert_array_equal(classes_of(tmp_path / "um.nii"), classes_of(tmp_path / "mm.nii"))
    assert nib.load(tmp_path / "um.nii").header.get_xyzt_units()[0] == "micron"
