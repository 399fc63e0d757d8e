"""The commands of docs/paper.md each leave their table or picture."""

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from bench.cli.app import main
from bench.tracking.store import open_store
from reports.records.release import ReleaseRecord
from reports.records.run import RunResult
from reports.records.slices import SLICES_FILE, cut_slices, write_slices
from tests.reports.made_results import make_result

DOCS = Path(__file__).resolve().parents[3] / "docs" / "paper.md"
COMMANDS = re.findall(r"\| `python -m (bench report .*?)` \|", DOCS.read_text())
RELEASES = {
    "brats2019": ReleaseRecord("BraTS 2019", "brats", {"brats2020": "is contained in"}),
    "brats2020": ReleaseRecord("BraTS 2020", "brats"),
    "kits19": ReleaseRecord("KiTS19", "kits"),
}

pytestmark = pytest.mark.slow


def make_runs() -> list[RunResult]:
    """Return what the runs of the page would leave, with scores from a formula."""
    found = []
    settings = {"med_adapter": {}, "med_adapter[kernel=5]": {"kernel": 5}}
    labels = {"linear": "linear", "lora": "lora", "full": "full"} | dict.fromkeys(settings, "")
    for (name, release), weights, label in product(RELEASES.items(), ("none", "in21k"), labels):
        for shots in (None, 5) if name == "brats2019" and weights == "none" else (None,):
            method = label.partition("[")[0]
            options = {"settings": settings.get(label), "label": label, "shots": shots}
            made = make_result(method, release.family, weights=weights, n_cases=6, **options)
            found.append(
                replace(made, dataset=name, release=release, run_id=f"{made.run_id}{name}")
            )
    return found


def test_every_command_leaves_its_file(
    tmp_path: Path, new_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = new_store(tmp_path / "store")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    store = open_store(uri)
    reference = np.zeros((9, 32, 32), np.uint8)
    reference[2:7, 8:20, 8:20] = 1
    slices = cut_slices(reference.astype(np.float32), reference, reference, 1)
    for run in make_runs():
        write_slices(tmp_path / SLICES_FILE, {row.case: slices for row in run.cases})
        store.log_result(run, tmp_path)
    assert len(COMMANDS) == 8
    for command in COMMANDS:
        arguments = shlex.split(command)
        assert main(arguments[1:]) == 0, command
        left = tmp_path / arguments[arguments.index("--out") + 1]
        if left.is_dir():
            pictures = [file.name.rpartition("-brats2020")[0] for file in left.rglob("*.pdf")]
            assert {"dice-parameters", "dice-flops", "panels-worst"} <= set(pictures)
        else:
            assert r"\begin{" in left.read_text()
            assert left.with_name(f"{left.stem}-notes.tex").is_file()
