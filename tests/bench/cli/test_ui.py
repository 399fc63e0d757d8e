"""What a user finds at the address of `bench ui`: real runs, a real server, a real browser."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest

from bench.prediction.case import predict_case
from bench.prediction.networks import Place, find_runs
from bench.scoring.metrics import region_mask
from bench.tracking.store import open_store
from datasets.phantoms.write import write_phantoms
from methods import PAPER
from reports.names import BUILT_IN_NAMES
from reports.records.run import RunResult
from tests.browser.driver import PATIENCE_S, open_browser, see, wait_until
from tests.in_process import carry_out

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
DATASET, CASES = "brats2020", "brats"
SMALL = shlex.split(
    "--preset demo --epochs 1 --jobs 2 --set data.patches_per_epoch=2 --set data.patch=4,32,32"
)
# Each row of the table by its name, with the texts of those cells that nothing covers or cuts off.
VISIBLE_ROWS = """
const rows = new Map(), columns = arguments[0];
for (const row of document.querySelectorAll(".ag-row")) {
  const found = rows.get(row.getAttribute("row-index")) ?? {};
  rows.set(row.getAttribute("row-index"), found);
  for (const cell of row.querySelectorAll(".ag-cell")) {
    const at = cell.getBoundingClientRect();
    const shown = document.elementFromPoint(at.left + 40, at.top + at.height / 2);
    if (shown && cell.contains(shown)) {
      found[cell.getAttribute("col-id")] = cell.innerText.trim().split("\\n").at(-1);
    }
  }
}
return [...rows].sort(([one], [two]) => one - two).map(([, cells]) => cells);
"""
NAME = "attributes.`Run Name`"
COLUMNS = ("dice/mean", "params/tuned", "compute/forward_gflop", "memory/peak_mib")


@dataclass(frozen=True)
class Work:
    """A working directory in which `run` has ended, and its results by label."""

    folder: Path
    results: dict[str, RunResult]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """The seven methods of the demo and a second LoRA, on the smallest phantoms."""
    folder = tmp_path_factory.mktemp("work")
    write_phantoms("brats", folder / CASES, 6, shape=(16, 32, 32))
    chosen = ["--methods", "paper,lora[rank=2]", "--datasets", "brats", "--data-root", CASES]
    done = carry_out(folder, "run", *chosen, *SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    results = open_store(f"sqlite:///{folder / 'mlflow.db'}").load_results()
    return Work(folder, {result.label: result for result in results})


@pytest.fixture(scope="module")
def address(work: Work) -> Iterator[str]:
    """The address that `bench ui` prints, whose server answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = work.folder / "ui.log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "bench", "ui", "--port", str(port)],
            cwd=work.folder, env=environment(), stdout=stream, stderr=stream,
        )  # fmt: skip
    try:
        wait_for_port(port, server)
        (printed,) = re.findall(r"http://127\.0\.0\.1:\S+/#/experiments/\S+", log.read_text())
        yield printed
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE_S)


@pytest.fixture
def browser() -> Iterator[Any]:
    """A browser with a new profile, in the window of a small laptop's width."""
    with open_browser(1366, 1000) as driver:
        yield driver


def environment() -> dict[str, str]:
    kept = {name: each for name, each in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return kept | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends and server.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail("bench ui does not listen")


def mean_dice(result: RunResult) -> float:
    return float(np.mean([row.dice for row in result.cases]))


def test_the_printed_address_shows_every_method_with_its_numbers_without_a_click(
    browser: Any, work: Work, address: str
) -> None:
    browser.get(address)
    see(browser, f"{len(work.results) + 1} matching runs")
    keys = [f"metrics.`{name}`" for name in COLUMNS]

    def read(page: Any) -> list[dict[str, str]]:
        rows = page.execute_script(VISIBLE_ROWS)
        return [row for row in rows if all(row.get(key, "-") != "-" for key in (NAME, *keys))]

    wait_until(browser, "all rows", lambda page: len(read(page)) == len(work.results))
    shown = {row[NAME].split(", ")[0]: row for row in read(browser)}
    ranked = sorted(work.results.values(), key=mean_dice, reverse=True)
    assert list(shown) == [BUILT_IN_NAMES.label(result.label) for result in ranked]
    for result, row in zip(ranked, shown.values(), strict=True):
        cost = result.cost
        assert cost is not None
        assert cost.compute is not None
        numbers = (
            mean_dice(result), cost.params_tuned, cost.compute.forward_gflop, cost.peak_memory_mib
        )  # fmt: skip
        assert [float(row[key]) for key in keys] == pytest.approx(numbers)
    assert {result.method for result in ranked} == set(PAPER)
    browser.get(f"{address}&compareRunsMode=CHART")
    see(browser, "Dice and costs", "(3)")


def test_a_command_has_its_table_and_a_run_its_picture(
    browser: Any, work: Work, address: str
) -> None:
    store = open_store(f"sqlite:///{work.folder / 'mlflow.db'}")
    place = store.find_experiment(DATASET)
    home = f"{address.partition('#')[0]}#/experiments/{place}/runs"
    runs = {run.data.tags.get("label", ""): run.info for run in store.client.search_runs([place])}

    browser.get(f"{home}/{runs[''].run_id}")
    count = len(work.results)
    see(browser, f"{count} of {count} runs have ended", "Dice (%) WT")  # the UI folds up the rest
    browser.find_element("css selector", '[aria-label="Expand description"]').click()
    see(browser, "Med-Adapter", f"{100 * mean_dice(work.results['med_adapter']):.1f}")

    browser.get(f"{home}/{runs['lora'].run_id}")
    see(browser, "SYNTHETIC", "dice/WT")

    folder = work.folder / "results" / "runs" / work.results["lora"].run_id
    width = matplotlib.image.imread(folder / "overlay.png").shape[1]
    browser.get(f"{home}/{runs['lora'].run_id}/artifacts/overlay.png")
    widths = "return [...document.images].map(image => image.naturalWidth)"
    wait_until(browser, "the picture", lambda page: width in page.execute_script(widths))


def test_the_best_lora_of_the_leaderboard_predicts_as_its_run_did(
    work: Work, address: str, tmp_path: Path, use_mlflow: Callable[[str], ModuleType]
) -> None:
    tracked = [work.results[label] for label in ("lora", "lora[rank=2]")]
    worst, best = sorted(tracked, key=mean_dice)
    bar = (mean_dice(worst) + mean_dice(best)) / 2
    assert mean_dice(worst) < bar < mean_dice(best)
    mlflow = use_mlflow(address.partition("/#")[0])
    place = mlflow.get_experiment_by_name(DATASET).experiment_id
    (found,) = mlflow.search_logged_models(
        experiment_ids=[place],
        filter_string=f"metrics.`dice/mean` > {bar} AND params.method = 'lora'",
        output_format="list",
    )
    model = f"models:/{found.model_id}"
    delta = Path(mlflow.artifacts.download_artifacts(model, dst_path=str(tmp_path)))
    assert found.tags["run_id"] == best.run_id

    runs = find_runs([str(delta)], tmp_path)
    cases = {row.case for row in best.cases}
    assert len(cases) == 2
    for case in cases:
        home = work.folder / CASES / case
        predict_case(runs, [str(home)], tmp_path / f"{case}.nii.gz", Place("cpu"))
        predicted = read_classes(tmp_path / f"{case}.nii.gz")
        reference = read_classes(home / f"{case}_seg.nii.gz")
        for region in runs[0].info.regions:
            (row,) = (row for row in best.cases if (row.case, row.region) == (case, region.name))
            mask = region_mask(predicted, region)
            common = mask & region_mask(reference, region)
            counted = np.count_nonzero(mask), np.count_nonzero(common)
            assert counted == (row.n_predicted_vox, row.n_common_vox)


def read_classes(file: Path) -> np.ndarray:
    """Return a label file of BraTS 2020 with its value 4 as class 3."""
    values = np.asarray(nib.load(file).dataobj).astype(np.uint8)
    return np.where(values == 4, 3, values)
