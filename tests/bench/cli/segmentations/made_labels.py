"""Label files of a small case, and what `bench score` must print for them."""

import json

import nibabel as nib
import numpy as np

from bench.cli.app import main
from bench.scoring.metrics import Scoring, score_case
from bench.specs.protocol import EvalSpec
from datasets.brats import Brats
from datasets.phantoms.files import build_geometry
from reports.records.plain import to_plain

SHAPE = (8, 12, 10)


SPACING_MM = (3.0, 2.0, 1.0)


VALUES = {"brats2020": (0, 1, 2, 4), "brats2023": (0, 1, 2, 3), "msd01": (0, 2, 1, 3)}


def make_classes(shift=0):
    classes = np.zeros(SHAPE, dtype=np.uint8)
    classes[1 + shift : 6 + shift, 2:9, 2:8] = 2
    classes[2 + shift : 5 + shift, 3:7, 3:6] = 1
    classes[3 + shift, 4:6, 4:5] = 3
    return classes


def save(
    path,
    classes,
    release="brats2020",
    codes="LPS",
    spacing_mm=SPACING_MM,
    dtype=np.uint8,
    affine=None,
):
    """Store a class map (D, H, W) as the label file of a release."""
    labels = np.asarray(VALUES[release], dtype=dtype)[classes]
    geometry = build_geometry(labels.shape, codes, spacing_mm)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(
        nib.Nifti1Image(geometry.to_stored(labels), geometry.affine if affine is None else affine),
        path,
    )
    return path


def score(capsys, reference, prediction, *options, dataset="brats"):
    arguments = [
        "score",
        "--reference",
        str(reference),
        "--prediction",
        str(prediction),
        "--dataset",
        dataset,
    ]
    assert main([*arguments, "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def expect(case_id, release="brats2020", **settings):
    scoring = Scoring(Brats.describe(release), EvalSpec(**settings))
    rows = score_case(case_id, make_classes(shift=1), make_classes(), SPACING_MM, scoring)
    return to_plain(rows, "rows")
