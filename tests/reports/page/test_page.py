"""The HTML page in a real browser: no request, no complaint; it sorts and unfolds a case."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reports.analysis.comparison import compare_methods
from reports.figures.gallery import list_pictures
from reports.figures.rendering import render_one
from reports.figures.style import assign_looks
from reports.page.page import Page, format_page
from reports.records.run import RunResult
from reports.tables.build import KINDS
from tests.reports.figures.test_figures import made_slices
from tests.reports.made_results import read_fixture

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
DRIVER, BROWSER = (
    shutil.which("chromedriver"),
    shutil.which("chromium") or shutil.which("google-chrome"),
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DRIVER and BROWSER), reason="no headless browser (Debian: chromium, chromium-driver)"
    ),
]


def make_page(results: list[RunResult]) -> str:
    summaries = compare_methods(results)
    tables = [
        table for kind in ("main", "efficiency", "ablation") for table in KINDS[kind](summaries)
    ]
    looks = assign_looks({(run.method, run.label) for run in results}, {})
    pictures, absent = list_pictures(summaries, [], lambda run, case: made_slices(), looks)
    shown = [
        picture for picture in pictures if picture.slug.startswith(("dice-parameters", "panels"))
    ]
    drawn = [(picture, render_one(picture, ("svg",))["svg"].decode()) for picture in shown]
    return format_page(Page(results, summaries, tables, drawn, absent))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("a folder") / "page.html"
    file.write_text(make_page(read_fixture()))
    return file


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator[object]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--window-size=1200,900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.get(page.as_uri())
    yield driver
    driver.quit()


def column(browser: Any, table: str, number: int) -> list[str]:
    cells = f"#{table} tbody tr td:nth-child({number})"
    return browser.execute_script(
        f"return [...document.querySelectorAll('{cells}')].map(cell => cell.dataset.value)"
    )


def click(browser: Any, selector: str) -> None:
    browser.execute_script(f"document.querySelector({json.dumps(selector)}).click()")


def test_sorting_goes_both_ways_and_holes_come_last(browser: Any) -> None:
    # the thirteenth column is a region of kits
    head = "#main-brats-kits-tiny-vit-none thead tr:last-child th:nth-child(13) button"
    for reverse in (True, False):
        click(browser, head)
        found = column(browser, "main-brats-kits-tiny-vit-none", 13)
        numbers = [float(value) for value in found if value is not None]
        assert (len(numbers), len(found)) == (3, 7)  # the others failed, or were never run
        assert numbers == sorted(numbers, reverse=reverse)
        assert found[len(numbers) :] == [None] * (len(found) - len(numbers))


def test_a_case_unfolds_into_its_regions_and_panels(browser: Any) -> None:
    panel = browser.execute_script("return Object.keys(data[0].panels)[0]")
    click(browser, f"#case-table tr[data-case='{panel}']")
    text = browser.execute_script("return document.getElementById('case-detail').textContent")
    assert panel in text
    for words in ("Reference: WT 4.00 ml", "TC HD95 (mm)", "Med-Adapter"):
        assert words in text
    assert (
        browser.execute_script("return document.querySelectorAll('#case-detail svg').length") == 1
    )


def test_runs_are_filtered_and_linked(browser: Any) -> None:
    browser.execute_script("filter.value = 'kits oom'; filter.dispatchEvent(new Event('input'))")
    assert (
        browser.execute_script("return document.getElementById('shown').textContent") == "4 of 48"
    )
    run = read_fixture()[0].run_id
    browser.execute_script(f"location.hash = '#run-{run}'")
    shown = f"return !document.getElementById('run-{run}').hidden"
    assert browser.execute_async_script(
        f"const done = arguments[0]; setTimeout(() => done((() => {{ {shown} }})()), 300)"
    )


def test_the_theme_changes(browser: Any) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    before = browser.execute_script(ground)
    click(browser, "#theme")
    assert browser.execute_script(ground) != before


def test_no_complaint_and_no_request_but_for_the_file(browser: Any, page: Path) -> None:
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]
    assert page.as_uri() in asked
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
