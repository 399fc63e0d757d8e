"""The wheel beside the Hugging Face libraries: both work, and neither overwrites the other."""

import json
import shlex
import zipfile

import nibabel as nib
import numpy as np
import pytest

pytestmark = pytest.mark.slow
TINY = shlex.split(
    "--epochs 1 --max-steps 1 --set data.patch=16,32,32 --set data.patches_per_epoch=1"
)
LOAD = """
import datasets
print(datasets.load_dataset("csv", data_files="rows.csv", cache_dir="hf")["train"][0])
import transformers, peft
"""

STUDY = """
import datasets
import nibabel as nib
import numpy as np
from pathlib import Path

import medtuning_bench as mb

results = mb.run(
    methods=["linear", "bitfit"],
    datasets="brats2020",
    preset="demo",
    data_root="my data",
    epochs=1,
    max_steps=1,
    set={"data.patch": (16, 32, 32), "data.patches_per_epoch": 1},
)
segmenter = mb.Segmenter(results.runs["run_id"][0])
flair = next(Path("my data").rglob("*_flair.nii.gz"))
files = [str(flair).replace("flair", channel) for channel in segmenter.channels]
images = [nib.as_closest_canonical(nib.load(file)) for file in files]
volume = np.stack([image.get_fdata().transpose(2, 1, 0) for image in images])
spacing_mm = images[0].header.get_zooms()[::-1]
np.save("classes.npy", segmenter.predict(volume, spacing_mm))
ended = [f"{run.label} {run.status}" for run in results.runs.itertuples()]
row = datasets.load_dataset("csv", data_files="rows.csv", cache_dir="hf")["train"][0]
print(", ".join(ended) + f", then {row}")
"""


def test_the_wheel_has_one_package_and_neither_tests_nor_docs(installed):
    with zipfile.ZipFile(installed.wheel) as wheel:
        files = wheel.namelist()
    tops = {file.split("/")[0] for file in files}
    assert {each for each in tops if not each.endswith(".dist-info")} == {"medtuning_bench"}
    seconds = {file.split("/")[1] for file in files if file.startswith("medtuning_bench/")}
    folders = {each for each in seconds if "." not in each}
    assert folders == {"bench", "methods", "datasets", "reports"}
    for name in ("bench/specs/demo_tuned.toml", "reports/page/page.html", "py.typed"):
        assert f"medtuning_bench/{name}" in files
    assert "medtuning_bench/bench/models/weights/embedded/formula-vit.safetensors" in files


def test_load_dataset_and_a_run_both_work(installed, tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    assert installed.run(tmp_path, "python", "-c", LOAD).strip() == "{'a': 1, 'b': 2}"

    demo = ["data", "demo", "--out", "my data", "--cases", "5"]
    printed = installed.run(tmp_path, "medtuning-bench", *demo)
    use = "medtuning-bench run --preset demo --datasets brats2020 --data-root 'my data'"
    assert f"  {use}\n" in printed

    arguments = [*shlex.split(use)[1:], "--methods", "linear", *TINY]
    printed = installed.run(tmp_path, "medtuning-bench", *arguments)
    assert "medtuning-bench report --format latex" in printed
    assert "logs:    results/runs/NAME/run.log" in printed
    assert "python -m bench" not in printed
    (file,) = tmp_path.glob("results/runs/*/result.json")
    record = json.loads(file.read_text())
    assert (record["method"], record["status"]) == ("linear", "done")
    assert record["provenance"]["git_commit"] is None

    # a script without a guard, in a process that uses the other `datasets` as well
    (tmp_path / "study.py").write_text(STUDY)
    printed = installed.run(tmp_path, "python", "study.py")
    assert "1 of 2 runs are done already" in printed
    assert printed.endswith("linear done, bitfit done, then {'a': 1, 'b': 2}\n")

    predict = ["predict", "--run", record["run_id"], "--output", "seg.nii.gz"]
    case = next((tmp_path / "my data").rglob("*_flair.nii.gz")).parent
    installed.run(tmp_path, "medtuning-bench", *predict, "--input", str(case))
    expected = nib.as_closest_canonical(nib.load(tmp_path / "seg.nii.gz")).get_fdata()
    got = np.load(tmp_path / "classes.npy")  # (D, H, W)
    values = np.array([0, 1, 2, 4])[got]
    assert np.array_equal(values.transpose(2, 1, 0), expected)
