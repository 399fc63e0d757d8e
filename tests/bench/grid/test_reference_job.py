"""Reference networks from the command line, on small phantoms: trained, tabulated, restored."""

import json
import shlex
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import methods
from bench.models.references import registry
from datasets.phantoms.write import write_phantoms
from reports.names import BUILT_IN
from tests.in_process import carry_out

pytestmark = pytest.mark.slow

NETS = (
    "net:nnunet[features=2]",
    "net:nnunet_resenc[features=2]",
    "net:unetr[features=2,hidden=12,mlp=12,heads=2]",
    "net:swin_unetr[pad=true,features=12]",
)
SHORT = shlex.split(
    "--preset demo --data-root brats --epochs 1 --max-steps 1 --set data.patch=16,32,64"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the runs of the paper's methods and of all networks."""
    folder = tmp_path_factory.mktemp("job")
    write_phantoms("brats", folder / "brats", 5, shape=(16, 32, 64))
    done = carry_out(folder, "run", *SHORT, "--methods", ",".join(("paper", *NETS)))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def read_runs(folder: Path) -> list[dict]:
    files = sorted((folder / "results" / "runs").glob("*/result.json"))
    return [json.loads(file.read_text()) for file in files]


def test_networks_stand_beside_methods(folder):
    runs = read_runs(folder)
    assert len(runs) == len(methods.PAPER) + len(NETS)
    assert {run["status"] for run in runs} == {"done"}
    nets = {run["label"]: run for run in runs if run["kind"] == "reference"}
    assert set(nets) == set(NETS)
    assert len(nets) == len(registry.names())
    for run in nets.values():
        cost = run["cost"]
        assert (run["backbone"], run["weights"]) == ("none", "none")
        assert cost["params_tuned"] == cost["params_total"] > 0
        assert (cost["params_decoder"], cost["params_tuned_frac"]) == (0, 1.0)
        assert cost["compute"]["uncounted"] == []
        assert cost["compute"]["training_gflop"] > 2 * cost["compute"]["forward_gflop"] > 0
        assert cost["memory"]["saved_for_backward_mib"] > 0
        assert run["reload_max_abs_diff"] == 0
        assert len(run["cases"]) == 3 * len({row["case"] for row in run["cases"]})
    printed = carry_out(folder, "report", "--format", "latex").stdout
    assert printed.count(r"\bottomrule") == 1
    assert "reference: 3-D networks trained whole" in printed
    shown = [BUILT_IN[name] for name in (*methods.PAPER, *registry.names())]
    assert [name for name in shown if name not in printed] == []


def test_another_backbone_takes_the_runs_that_there_are(folder):
    arguments = [*SHORT, "--backbone", "tiny_swin", "--weights", "none"]
    again = carry_out(folder, "run", *arguments, "--methods", ",".join(("linear", *NETS)))
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{len(NETS)} of {len(NETS) + 1} runs are done already" in again.stdout
    table = again.stdout.partition("Tiny Swin")[2]
    assert all(BUILT_IN[name] in table for name in registry.names())


def test_predict_restores_a_network(folder):
    (run,) = [run for run in read_runs(folder) if run["method"] == "net:nnunet"]
    case = run["cases"][0]["case"]
    output = folder / "predicted.nii.gz"
    arguments = ["--run", run["run_id"], "--input", case, "--output", str(output)]
    done = carry_out(folder, "predict", *arguments)
    assert done.returncode == 0, done.stderr
    labels = np.asarray(nib.load(output).dataobj)
    row = next(row for row in run["cases"] if (row["case"], row["region"]) == (case, "WT"))
    assert np.count_nonzero(labels) == row["n_predicted_vox"]


def test_a_network_is_tuned(folder):
    net = "net:nnunet[features=2]"
    arguments = [*SHORT, "--trials", "2", "--trial-epochs", "1", "--methods", net]
    done = carry_out(folder, "tune", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (folder / "results" / "tuning").glob("*/study.json")
    study = json.loads(file.read_text())
    assert (study["method"], study["backbone"]) == (net, "none")
    assert [trial["status"] for trial in study["trials"]] == ["done", "done"]
    assert "train.drop_path" not in study["trials"][0]["values"]


def test_what_does_not_fit_is_one_sentence(folder):
    for methods_text, sentence in {
        "net:swin_unetr": "net:swin_unetr: data.patch must be divisible by 32x32x32, got 16x32x64",
        "net:unet": "unknown network 'net:unet' (did you mean 'net:unetr'?)",
    }.items():
        done = carry_out(folder, "run", *SHORT, "--methods", methods_text)
        assert done.returncode == 2
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
