"""nnU-Net's own code accepts and plans an exported folder as it is, and trains on its folds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.app import main
from datasets.phantoms.write import write_phantoms

pytestmark = pytest.mark.slow

# its commands, and what its trainer would take as folds; only after planning is there a folder
PROGRAM = """
import multiprocessing
import sys
from pathlib import Path
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints
from nnunetv2.experiment_planning.plan_and_preprocess_api import plan_experiments
from nnunetv2.utilities.dataset_name_id_conversion import convert_id_to_dataset_name

if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")  # for its pools: each imports all of it otherwise
    multiprocessing.get_context = lambda method=None: fork
    ids = [int(word) for word in sys.argv[1:]]
    extract_fingerprints(ids, num_processes=1, check_dataset_integrity=True)
    plan_experiments(ids, gpu_memory_target_in_gb=2)
    print("planned", *[convert_id_to_dataset_name(number) for number in ids])
"""


def test_an_exported_folder_is_planned_by_nnunet(tmp_path: Path) -> None:
    pytest.importorskip("nnunetv2")
    numbers = {"msd01": 501, "kits23": 502}
    for layout, number in numbers.items():
        root = tmp_path / layout
        write_phantoms(layout, root, 3, shape=(16, 32, 32))
        words = ["--datasets", layout, "--data-root", str(root), "--id", str(number)]
        words += ["--folds", "3", "--link", "--preprocessed", str(tmp_path / "preprocessed")]
        assert main(["data", "export", *words, "--out", str(tmp_path / "raw")]) == 0
    printed = call_nnunet(tmp_path, *map(str, numbers.values()))
    assert printed.count("verify_dataset_integrity Done.") == len(numbers)
    names = [f"Dataset{number}_{layout}" for layout, number in numbers.items()]
    assert f"planned {' '.join(names)}" in printed
    assert "Error" not in printed
    assert "Warning" not in printed
    for name in names:
        check_plans(tmp_path / "preprocessed" / name)


def call_nnunet(folder: Path, *arguments: str) -> str:
    """Return what nnU-Net prints; its folders are given by the environment."""
    program = folder / "plan.py"
    program.write_text(PROGRAM)
    for name in ("raw", "preprocessed", "results"):
        (folder / name).mkdir(exist_ok=True)
    places = {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
    ended = subprocess.run(
        [sys.executable, str(program), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **places, "nnUNet_def_n_proc": "1"},
        cwd=folder,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def check_plans(preprocessed: Path) -> None:
    """The plans are of the right scaling, and the folds are beside them, as the trainer wants."""
    plans = json.loads((preprocessed / "nnUNetPlans.json").read_text())
    schemes = set(plans["configurations"]["3d_fullres"]["normalization_schemes"])
    is_ct = "kits23" in preprocessed.name
    assert schemes == {"CTNormalization" if is_ct else "ZScoreNormalization"}
    folds = json.loads((preprocessed / "splits_final.json").read_text())
    fingerprint = json.loads((preprocessed / "dataset_fingerprint.json").read_text())
    assert len(fingerprint["shapes_after_crop"]) == 3
    assert [len(fold["train"]) + len(fold["val"]) for fold in folds] == [3, 3, 3]
