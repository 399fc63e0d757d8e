"""What a user sees in the MLflow UI: a real server, a real browser."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from bench.specs.protocol import Protocol
from bench.specs.run import MethodSpec, RunSpec
from bench.tracking.groups import begin_group
from bench.tracking.publishing import sync
from bench.tracking.store import open_store
from reports.records.cost import Cost
from reports.records.run import CaseScore, EpochRecord, RunResult, Status

pytestmark = pytest.mark.slow

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--window-size=1600,1000",
)
PATIENCE_S = 90  # for a machine that does much else; an idle one needs seconds
PICTURE_WIDTH = 48
COMMAND = "python -m bench run --methods linear,lora --datasets brats"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="needs selenium (pip install -e '.[dev]')"
    )
    if BROWSER is None or DRIVER is None:
        pytest.skip("needs a browser: chromium and chromedriver (Debian: chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for option in OPTIONS:
        options.add_argument(option)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which a command with two runs has ended."""
    folder = tmp_path_factory.mktemp("work")
    specs = [
        RunSpec(MethodSpec(name), "brats", "f00", 0, 0, Protocol(), folder)
        for name in ("linear", "lora")
    ]
    group = begin_group(specs, COMMAND, folder / "results")
    for spec in specs:
        home = folder / "results" / "runs" / spec.run_id
        replace(make_result(spec), group=group.id).write(home)
        matplotlib.image.imsave(home / "overlay.png", np.zeros((32, PICTURE_WIDTH)))
    sync(open_store(f"sqlite:///{folder / 'mlflow.db'}"), folder / "results")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The address of a plain `mlflow ui`, started in the folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--port", str(port), "--workers", "1"]
    environment = {
        name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"
    }
    with (folder / "ui.log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )  # fmt: skip
    try:
        wait_for_port(port, server)
        yield f"http://127.0.0.1:{port}/#/experiments"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(PATIENCE_S)


def make_result(spec: RunSpec) -> RunResult:
    dice = 0.432 if spec.method.name == "linear" else 0.876
    return RunResult(
        run_id=spec.run_id,
        status=Status.DONE,
        reason="",
        method=spec.method.name,
        settings={},
        label=spec.method.name,
        dataset="brats",
        backbone="tiny_vit",
        weights="none",
        fold=0,
        seed=0,
        protocol_id=spec.protocol_id,
        protocol=spec.protocol_record(),
        synthetic=True,
        regions=("WT",),
        cases=(CaseScore("p1", "WT", dice, 2.0, 10, 9),),
        curve=(EpochRecord(0, 0.5, 1e-3, 0.6),),
        best_epoch=0,
        cost=Cost(1000, 20, 300, 0.02, 12.5, 2.5, 512.0),
    )


def wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends and server.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail("mlflow ui does not listen")


def wait_until(browser: Any, what: str, found: Any) -> Any:
    """Return the first true value of ``found(page)``; ``what`` names it in the error."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    wait = WebDriverWait(browser, PATIENCE_S, ignored_exceptions=[StaleElementReferenceException])
    return wait.until(found, f"the page does not show {what}")


def see(browser: Any, *words: str) -> None:
    for word in words:
        wait_until(
            browser,
            word,
            lambda page, word=word: word in page.find_element("tag name", "body").text,
        )


def find_runs(folder: Path) -> dict[str, Any]:
    store = open_store(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = store.client.get_experiment_by_name("brats").experiment_id
    return {
        run.info.run_name.split(" · ")[0]: run.info
        for run in store.client.search_runs([experiment])
    }


def test_experiment_parent_runs_metrics_and_picture_are_there(
    browser: Any, folder: Path, address: str
) -> None:
    runs = find_runs(folder)
    assert len(runs) == 3
    parent = runs["run --methods linear,lora --datasets brats"]
    home = f"{address}/{parent.experiment_id}/runs"

    browser.get(address)
    see(browser, "brats")

    browser.get(home)
    see(browser, parent.run_name, "3 matching runs")
    assert (
        "tiny_vit" not in browser.find_element("tag name", "body").text
    )  # the runs are folded up under their parent
    expander = '[data-testid="expander-icon"], [role="treegrid"] button, .ag-cell button'
    wait_until(browser, "an expander", lambda page: page.find_elements("css selector", expander))[
        0
    ].click()
    see(browser, "linear · brats", "lora · brats")

    browser.get(f"{home}/{parent.run_id}")
    see(
        browser, "2 of 2 runs have ended", "Dice (%) WT"
    )  # the table of the command comes first; the UI folds it up
    browser.find_element("css selector", '[aria-label="Expand description"]').click()
    see(browser, "87.6", "43.2")

    browser.get(f"{home}/{runs['lora'].run_id}")
    see(browser, "SYNTHETIC", "dice/WT", "0.876")

    browser.get(f"{home}/{runs['lora'].run_id}/artifacts/overlay.png")
    widths = "return [...document.images].map(image => image.naturalWidth)"
    wait_until(browser, "the picture", lambda page: PICTURE_WIDTH in page.execute_script(widths))
