"""`bench score` gives the numbers of a run, whatever the order, the type and the names."""

import json
import re
import shutil

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from bench.cli.app import main
from bench.scoring.label_files import pair_files
from bench.scoring.metrics import MEASURES
from datasets.base import SYNTHETIC_MARKER
from reports.records.metrics import METRICS, Metric
from tests.bench.cli.segmentations.made_labels import expect, make_classes, save, score
from tests.datasets.nnunet.conftest import write_root


def test_two_files_get_the_scores_of_a_run(tmp_path, capsys):
    reference = save(tmp_path / "BraTS20_Training_007_seg.nii.gz", make_classes())
    record = score(capsys, reference, save(tmp_path / "anything.nii", make_classes(shift=1)))
    assert record["cases"] == expect("BraTS20_Training_007")
    assert [row["region"] for row in record["cases"]] == ["WT", "TC", "ET"]
    assert 0 < record["cases"][0]["dice"] < 1 < record["cases"][0]["hd95_mm"]
    assert (record["release"], record["release_assumed"], record["empty_policy"]) == (
        "brats2020",
        False,
        "brats",
    )


@pytest.mark.parametrize("codes", ["LPS", "RAS", "SLA"])
def test_another_order_of_axes_or_another_type_changes_nothing(tmp_path, capsys, codes):
    reference = save(tmp_path / "BraTS20_Training_007_seg.nii.gz", make_classes())
    stored = nib.load(save(tmp_path / "x.nii", make_classes(shift=1), dtype=np.float32))
    turn = ornt_transform(io_orientation(stored.affine), axcodes2ornt(codes))
    prediction = tmp_path / "other.nii.gz"
    nib.save(stored.as_reoriented(turn), prediction)
    assert score(capsys, reference, prediction)["cases"] == expect("BraTS20_Training_007")


@pytest.mark.parametrize(
    ("name", "options", "release", "assumed"),
    [
        ("BraTS20_Training_001_seg.nii.gz", [], "brats2020", False),
        ("BraTS-GLI-00001-000-seg.nii.gz", [], "brats2023", False),
        ("labelsTr/BRATS_001.nii.gz", [], "msd01", False),
        ("case7.nii.gz", ["--release", "msd01"], "msd01", False),
        ("case7.nii.gz", [], "brats2020", True),
    ],
)
def test_label_values_mean_what_the_release_says(tmp_path, capsys, name, options, release, assumed):
    reference = save(tmp_path / "reference" / name, make_classes(), release)
    record = score(
        capsys,
        reference,
        save(tmp_path / "prediction.nii", make_classes(shift=1), release),
        *options,
    )
    assert (record["release"], record["release_assumed"]) == (release, assumed)
    assert record["cases"] == expect(record["cases"][0]["case"], release)


def test_folders_are_paired_by_case_and_what_is_left_out_is_said(tmp_path, capsys):
    for number in (1, 2, 3):
        case = f"BraTS20_Training_{number:03d}"
        save(tmp_path / "root" / case / f"{case}_flair.nii.gz", make_classes())
        save(tmp_path / "root" / case / f"{case}_seg.nii.gz", make_classes())
    save(tmp_path / "mine" / "BraTS20_Training_002.nii.gz", make_classes(shift=1))
    save(tmp_path / "mine" / "fold1" / "BraTS20_Training_001_seg.nii", make_classes())
    record = score(capsys, tmp_path / "root", tmp_path / "mine")
    assert record["cases"][3:] == expect("BraTS20_Training_002")
    assert [row["dice"] for row in record["cases"][:3]] == [1, 1, 1]
    assert record["without_prediction"] == ["BraTS20_Training_003"]
    whole = record["regions"][0]
    assert whole["dice"]["all"] == {"value": (1 + record["cases"][3]["dice"]) / 2, "n": 2}


def test_files_without_a_releases_names_are_paired_by_their_own(tmp_path, capsys):
    save(tmp_path / "one" / "a.nii.gz", make_classes())
    save(tmp_path / "two" / "a.nii", make_classes(shift=1))
    assert score(capsys, tmp_path / "one", tmp_path / "two")["cases"] == expect("a")


@pytest.mark.parametrize(
    ("dataset", "label", "prediction", "case"),
    [
        ("kits", "case_00003/segmentation.nii.gz", "case_00003.nii.gz", "case_00003"),
        ("lits", "segmentation-3.nii", "volume-3.nii.gz", "volume-3"),
        ("lits", "segmentation-3.nii", "segmentation-3.nii.gz", "volume-3"),
        ("lits", "labelsTr/liver_3.nii.gz", "liver_3.nii.gz", "liver_3"),
    ],
)
def test_the_names_of_other_data_sets(tmp_path, dataset, label, prediction, case):
    (tmp_path / "root" / label).parent.mkdir(parents=True)
    (tmp_path / "root" / label).touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / prediction).touch()
    pairing = pair_files(dataset, tmp_path / "root", tmp_path / "mine")
    assert [(pair[0].id, pair[1].name) for pair in pairing.pairs] == [(case, prediction)]


def test_a_reference_lies_on_the_grid_of_its_image(tmp_path, capsys):
    """Labels of LiTS have to be read so: their headers are not those of their volumes."""
    classes = np.minimum(make_classes(), 2)
    save(tmp_path / "root" / "volume-50.nii", classes, "brats2023", codes="RAS")
    save(
        tmp_path / "root" / "segmentation-50.nii",
        classes,
        "brats2023",
        codes="RAS",
        affine=np.eye(4),
    )
    prediction = save(tmp_path / "mine" / "volume-50.nii", classes, "brats2023", codes="RAS")
    record = score(capsys, tmp_path / "root", prediction.parent, dataset="lits")
    assert [(row["dice"], row["hd95_mm"]) for row in record["cases"]] == [(1, 0), (1, 0)]
    assert record["cases"][0]["reference_ml"] == pytest.approx(np.count_nonzero(classes) * 6e-3)


def test_a_header_that_does_not_tell_the_spacing_gives_no_millimetres(tmp_path, capsys):
    classes = np.minimum(make_classes(), 2)
    for number in (28, 48):  # 28 to 47 are known for it
        save(
            tmp_path / "root" / f"segmentation-{number}.nii",
            classes,
            "brats2023",
            spacing_mm=(1.0, 1.0, 1.0),
        )
    record = score(capsys, tmp_path / "root", tmp_path / "root", dataset="lits")
    assert [row["hd95_mm"] for row in record["cases"]] == [None, None, 0, 0]


@pytest.mark.parametrize(
    ("policy", "penalty_mm"), [("brats", 373.12866), ("brats2023", 374.0), ("kits", None)]
)
def test_an_absent_prediction_counts_as_zero_on_request(tmp_path, capsys, policy, penalty_mm):
    """Where the reference lacks a region, too: two empty masks would be a perfect score."""
    small = np.where(make_classes() == 3, 1, make_classes())  # no enhancing tumour
    for number, classes in ((1, make_classes()), (2, small)):
        save(tmp_path / "root" / f"BraTS20_Training_{number:03d}_seg.nii.gz", classes)
    save(tmp_path / "mine" / "BraTS20_Training_001.nii.gz", make_classes())
    options = ["--set", f"eval.empty_policy={policy}"]
    folders = tmp_path / "root", tmp_path / "mine"
    record = score(capsys, *folders, "--missing", "zero", *options)
    assert record["without_prediction"] == ["BraTS20_Training_002"]
    rows = record["cases"][3:]
    assert [row["case"] for row in rows] == ["BraTS20_Training_002"] * 3
    assert [row["dice"] for row in rows] == [0, 0, 0]
    assert [row["nsd"] for row in rows] == [0, 0, 0]
    assert [row["hd95_mm"] for row in rows] == [penalty_mm] * 3
    assert [row["reference_ml"] > 0 for row in rows] == [True, True, False]
    assert record["regions"][2]["dice"]["all"] == {"value": 0.5, "n": 2}
    left = score(capsys, *folders, *options)
    assert left["cases"] == record["cases"][:3]
    assert (left["missing"], record["missing"]) == ("leave", "zero")
    arguments = ["--reference", str(folders[0]), "--prediction", str(folders[1])]
    assert main(["score", *arguments, "--dataset", "brats", "--missing", "zero"]) == 0
    assert "counted as Dice 0, without a prediction: 1" in capsys.readouterr().out


def test_predictions_of_nnunet_are_scored_as_they_are(tmp_path, capsys):
    """CASE.nii.gz with the values of the folder's own dataset.json, beside what nnU-Net leaves."""
    root = write_root(tmp_path / "raw")
    reference = root / "labelsTr" / "case_002.nii.gz"
    validation = tmp_path / "fold_0" / "validation"
    validation.mkdir(parents=True)
    shutil.copy(reference, validation)
    (validation / "summary.json").write_text("{}")
    (validation / "case_002.npz").touch()
    for folder in (root, root / "labelsTr"):
        record = score(capsys, folder, validation, dataset=root.name)
        assert [row["region"] for row in record["cases"]] == ["whole", "core", "rim"]
        assert [row["dice"] for row in record["cases"]] == [1, 1, 1]
        assert record["without_prediction"] == [f"case_00{n}" for n in (1, 3, 4, 5, 6)]
        assert (record["dataset"], record["empty_policy"]) == (root.name, "kits")
    shutil.copytree(validation, root / "labelsTs")  # nnU-Net's folder of test labels
    assert len(score(capsys, root / "labelsTs", validation, dataset=root.name)["cases"]) == 3
    assert len(score(capsys, reference, reference, dataset=root.name)["cases"]) == 3


def test_predictions_of_a_datalist_are_scored(tmp_path, capsys):
    save(tmp_path / "l" / "a_label.nii.gz", make_classes(), "brats2023")
    save(tmp_path / "i" / "a.nii.gz", make_classes(), "brats2023")
    save(tmp_path / "mine" / "a.nii.gz", make_classes(shift=1), "brats2023")
    labels = {"background": 0, "x": 1, "y": 2, "z": 3}
    training = [{"image": "i/a.nii.gz", "label": "l/a_label.nii.gz"}]
    content = {"modality": "MRI", "labels": labels, "training": training}
    (tmp_path / "list.json").write_text(json.dumps(content))
    record = score(capsys, tmp_path / "l", tmp_path / "mine", dataset=str(tmp_path / "list.json"))
    assert [(row["case"], row["region"]) for row in record["cases"]] == [
        ("a", "x"),
        ("a", "y"),
        ("a", "z"),
    ]
    assert record["cases"][2]["dice"] == expect("x")[2]["dice"]


def test_references_outside_the_raw_folder_are_refused(tmp_path, capsys):
    path = str(save(tmp_path / "a" / "case_001.nii.gz", make_classes()))
    arguments = ["score", "--reference", path, "--prediction", path]
    assert main([*arguments, "--dataset", "Dataset001_X"]) == 2
    rule = "--reference must be in the raw folder Dataset001_X, which has a dataset.json, got"
    assert rule in capsys.readouterr().err


def test_settings_of_the_protocol_and_the_cutoff(tmp_path, capsys):
    reference = save(tmp_path / "BraTS20_Training_007_seg.nii.gz", make_classes())
    prediction = save(tmp_path / "x.nii", make_classes(shift=1))
    settings = [
        "--set",
        "eval.hd95=pooled",
        "--set",
        "eval.nsd_tolerance_mm=2.5",
        "--set",
        "eval.et_min_vox=3",
    ]
    record = score(capsys, reference, prediction, *settings)
    assert record["cases"] == expect("BraTS20_Training_007", hd95="pooled", nsd_tolerance_mm=2.5)
    assert [row["hd95_mm"] for row in record["postprocessing"]["cases"]] == [373.12866]


def test_the_tables_say_what_the_numbers_are(tmp_path, capsys):
    reference = save(tmp_path / "root" / "BraTS20_Training_007_seg.nii.gz", make_classes())
    (tmp_path / "root" / SYNTHETIC_MARKER).touch()
    save(tmp_path / "mine" / reference.name, make_classes(shift=1))
    save(tmp_path / "root" / "BraTS20_Training_008_seg.nii.gz", make_classes())
    arguments = [
        "--reference",
        str(tmp_path / "root"),
        "--prediction",
        str(tmp_path / "mine"),
        "--dataset",
        "brats",
    ]
    assert main(["score", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "BraTS 2020 (SYNTHETIC phantoms), cases: 1; empty masks: brats; HD95: max" in printed
    assert "left out, without a prediction: 1" in printed
    dice = expect("BraTS20_Training_007")[0]["dice"]
    assert re.search(rf"BraTS20_Training_007 +WT +{dice:.3f} ", printed)
    assert re.search(rf"WT +all +{dice:.3f} \(1\)", printed)
    assert max(map(len, printed.splitlines())) <= 80 + len(str(tmp_path))


def test_a_new_metric_has_its_columns(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(METRICS, "n_more_vox", Metric("n_more_vox", "More", "voxels", False))
    monkeypatch.setitem(
        MEASURES, "n_more_vox", lambda pair: float((pair.prediction > pair.reference).sum())
    )
    reference = save(tmp_path / "reference.nii.gz", make_classes())
    prediction = save(tmp_path / "prediction.nii.gz", make_classes(shift=1))
    record = score(capsys, reference, prediction)
    assert record["cases"][0]["n_more_vox"] == 42  # the slice in front: 7 x 6 voxels
    assert record["regions"][0]["n_more_vox"]["all"] == {"value": 42, "n": 1}
    arguments = ["--reference", str(reference), "--prediction", str(prediction)]
    assert main(["score", *arguments, "--dataset", "brats"]) == 0
    assert capsys.readouterr().out.count("More voxels") == 2
