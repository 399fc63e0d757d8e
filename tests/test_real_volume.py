"""A real brain through the datalist door: the MNI152 T1 template, which nilearn ships.

One volume stands for three patients, because folds need three: this is about the way, not about a
score.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from datasets.layouts.datalist import Datalist
from datasets.prepared.prepare import prepare
from datasets.volumes.writing import write_classes

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
LABELS = {"0": "background", "1": "grey", "2": "white"}
FETCH = """
import sys
from nilearn.datasets import load_mni152_gm_mask, load_mni152_template, load_mni152_wm_mask
loads = {"t1": load_mni152_template, "gm": load_mni152_gm_mask, "wm": load_mni152_wm_mask}
for name, load in loads.items():
    load(resolution=3).to_filename(f"{sys.argv[1]}/{name}.nii.gz")
"""


def bench(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "bench", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def brain(tmp_path: Path) -> Path:
    """Return a folder with the template, a label made of its masks, and a datalist."""
    # nilearn has a package named datasets of its own, and warns in ways that are not ours
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FETCH, str(tmp_path)], check=True, cwd=tmp_path
    )
    t1, grey, white = (nib.load(tmp_path / f"{name}.nii.gz") for name in ("t1", "gm", "wm"))
    label = np.asanyarray(grey.dataobj).astype(np.uint8)
    label[np.asanyarray(white.dataobj) > 0] = 2
    nib.save(nib.Nifti1Image(label, t1.affine), tmp_path / "tissue.nii.gz")
    training = [
        {"id": f"copy{number}", "image": "t1.nii.gz", "label": "tissue.nii.gz"}
        for number in range(3)
    ]
    content = {
        "name": "mni152",
        "modality": "MRI",
        "labels": LABELS,
        "regions": {"brain": [1, 2], "white matter": [2]},
        "training": training,
    }
    (tmp_path / "mni.json").write_text(json.dumps(content))
    return tmp_path


def test_mni152_is_checked_prepared_trained_on_predicted_and_written_back(brain: Path) -> None:
    (checked,) = json.loads(bench(brain, "data", "check", "--datasets", "mni.json", "--json"))
    assert (checked["passed"], checked["labelled"], checked["problems"]) == (True, 3, [])

    dataset = Datalist(brain / "mni.json")
    ready = prepare(dataset, dataset.find_cases()[:1], brain / "cache")[0]
    source, truth = nib.load(brain / "t1.nii.gz"), nib.load(brain / "tissue.nii.gz")
    assert np.prod(ready.shape) < np.prod(source.shape)  # cropped to the head
    write_classes(
        ready.restore(ready.label()),
        dataset.info,
        ready.frame().geometry,
        brain / "t1.nii.gz",
        brain / "l.nii.gz",
    )
    np.testing.assert_array_equal(
        np.asanyarray(nib.load(brain / "l.nii.gz").dataobj), np.asanyarray(truth.dataobj)
    )

    settings = [
        "data.n_folds=3",
        "data.patches_per_epoch=40",
        "train.val_every=1",
        "data.val_frac=0.5",
    ]
    options = [word for setting in settings for word in ("--set", setting)]
    run = [
        "run",
        "--methods",
        "lora",
        "--datasets",
        "mni.json",
        "--preset",
        "demo",
        "--epochs",
        "2",
        "--device",
        "cpu",
    ]
    printed = bench(brain, *run, *options)
    assert "SYNTHETIC" not in printed
    (folder,) = (brain / "results" / "runs").iterdir()
    result = json.loads((folder / "result.json").read_text())
    scores = {row["region"]: row["dice"] for row in result["cases"]}
    assert (result["status"], result["dataset"], set(scores)) == (
        "done",
        "mni152",
        {"brain", "white matter"},
    )
    assert scores["brain"] > 0.5  # eighty steps tell brain from air

    bench(
        brain,
        "predict",
        "--run",
        folder.name,
        "--input",
        "t1.nii.gz",
        "--output",
        "seg.nii.gz",
        "--device",
        "cpu",
    )
    written = nib.load(brain / "seg.nii.gz")
    np.testing.assert_array_equal(written.affine, source.affine)
    predicted, wanted = np.asanyarray(written.dataobj) > 0, np.asanyarray(truth.dataobj) > 0
    dice = 2 * (predicted & wanted).sum() / (predicted.sum() + wanted.sum())
    assert dice == pytest.approx(scores["brain"], abs=1e-9)
