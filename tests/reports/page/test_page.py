"""The HTML page in a real browser: no request, no complaint, no barrier; it sorts and filters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from methods import family_of
from reports.analysis.comparison import compare_methods
from reports.analysis.statistics import compare_with
from reports.figures.gallery import list_pictures
from reports.figures.rendering import render_one
from reports.figures.style import assign_looks
from reports.page.page import Page, format_page
from reports.page.panels import collect_panels
from reports.records.run import RunResult, Status
from reports.tables.build import KINDS
from tests.browser.accessibility import find_barriers
from tests.browser.driver import open_browser
from tests.reports.figures.test_panels import made_slices
from tests.reports.made_results import read_fixture, tuned_on, without_numbers

pytestmark = pytest.mark.slow


def make_page(results: list[RunResult]) -> str:
    summaries = compare_methods(results)
    tables = [
        table for kind in ("main", "efficiency", "comparison") for table in KINDS[kind](summaries)
    ]
    looks = assign_looks({(run.method, run.label) for run in results}, {})
    pictures, absent = list_pictures(summaries, [], lambda run, case: None, looks)
    shown = [picture for picture in pictures if picture.slug.startswith("dice-parameters")]
    drawn = [(picture, render_one(picture, ("svg",))["svg"].decode()) for picture in shown]
    panels = collect_panels(summaries, lambda run, case: made_slices())
    return format_page(Page(results, summaries, tables, drawn, absent, panels=panels))


def make_results() -> list[RunResult]:
    """Return the runs of the fixture, and two methods of one data set also with tuned settings."""
    results = [replace(run, family=family_of(run.method)) for run in read_fixture()]
    chosen = [run for run in results if run.dataset == "brats" and run.label in ("lora", "full")]
    return results + [tuned_on(run, run.fold) for run in chosen if run.status == Status.DONE]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("a folder") / "page.html"
    file.write_text(make_page(make_results()))
    return file


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator[Any]:
    with open_browser(1200, 900) as driver:
        driver.get(page.as_uri())
        yield driver


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


def texts(browser: Any, selector: str) -> list[str]:
    """Return the texts of what is shown of a selector."""
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])]"
        ".filter((each) => each.getClientRects().length).map((each) => each.textContent.trim())",
        selector,
    )


def choose(browser: Any, selector: str, text: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(browser.find_element("css selector", selector)).select_by_visible_text(text)


@pytest.fixture
def filters(browser: Any) -> Iterator[Any]:
    yield browser
    click(browser, "#filters button[type=reset]")
    browser.execute_script("filter.value = ''; filter.dispatchEvent(new Event('input'))")


def test_a_picked_case_shows_the_panels_and_scores_of_all_methods(browser: Any) -> None:
    case = browser.execute_script("return data[0].cases[1]")
    methods = browser.execute_script("return data[0].methods")
    choose(browser, "#case", case)
    assert texts(browser, "#case-detail h3") == [case]
    assert len(methods) == 7  # one of them has not all of its runs
    assert texts(browser, "#case-detail figcaption b") == ["reference", *methods]
    assert texts(browser, "#case-detail tbody td:first-child") == methods
    text = browser.execute_script("return document.getElementById('case-detail').textContent")
    for words in ("Reference: WT 4.00 ml", "TC HD95 (mm)", "Med-Adapter"):
        assert words in text
    widths = "return [...document.querySelectorAll('#case-detail img')].map((i) => i.naturalWidth)"
    assert all(width > 0 for width in browser.execute_script(widths))


def test_cases_are_picked_with_the_keyboard(browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    cases = browser.execute_script("return data[0].cases")
    choose(browser, "#case", cases[0])
    browser.find_element("id", "next").send_keys(Keys.ENTER)
    assert texts(browser, "#case-detail h3") == [cases[1]]
    button = f"#case-table tr[data-case='{cases[3]}'] button"
    browser.find_element("css selector", button).send_keys(Keys.ENTER)
    assert texts(browser, "#case-detail h3") == [cases[3]]
    assert texts(browser, "#case-table tr.chosen button") == [cases[3]]
    means = browser.execute_script("return data[0].cases.map((_, index) => meanOf(data[0], index))")
    browser.find_element("id", "worst").send_keys(Keys.SPACE)
    assert texts(browser, "#case-detail h3") == [cases[means.index(min(means))]]


def test_a_family_leaves_its_methods_everywhere(filters: Any) -> None:
    choose(filters, "#filters select[name=family]", "Adapters")
    own = "AdaptFormer"
    assert set(texts(filters, "section[id^=main] tbody td:first-child")) == {own}
    assert set(texts(filters, "#run-table td:nth-child(2)")) == {own}
    assert texts(filters, "#case-detail tbody td:first-child") == [own]
    assert texts(filters, "#difference-table tbody td:first-child") == [own]
    assert texts(filters, "#case-table thead th") == ["case", own, "mean"]


def test_a_data_set_leaves_its_columns_tables_cases_and_runs(filters: Any) -> None:
    head = "section[id^=main-brats-kits] thead tr:first-child th"
    assert any("KiTS" in text for text in texts(filters, head))
    choose(filters, "#filters select[name=dataset]", "BraTS")
    assert not any("KiTS" in text for text in texts(filters, head))
    assert any("BraTS" in text for text in texts(filters, head))
    assert set(texts(filters, "#run-table td:nth-child(3)")) == {"BraTS"}
    assert all("BraTS" in text for text in texts(filters, "#setting option"))
    cells = texts(filters, "section[id^=main-brats-kits] tbody tr:first-child td")
    assert len(cells) == len(texts(filters, "section[id^=main-brats-kits] thead tr:last-child th"))
    choose(filters, "#filters select[name=dataset]", "KiTS")
    assert not [each for each in texts(filters, "section.card h3") if each.endswith("BraTS · Tiny")]
    assert texts(filters, "section[id^=efficiency-brats] h3") == []


def test_tuned_runs_are_shown_alone(filters: Any) -> None:
    everything = len(texts(filters, "#run-table tbody tr"))
    choose(filters, "#filters select[name=tuning]", "tuned")
    shown = texts(filters, "#run-table td:nth-child(2)")
    assert set(shown) == {"LoRA", "Full fine-tuning"}
    assert 0 < len(shown) < everything
    assert all("tuned" in text for text in texts(filters, "#setting option"))
    assert (
        "BraTS" in texts(filters, "#kept")[0]
        or f"of {everything} runs" in texts(filters, "#kept")[0]
    )
    choose(filters, "#filters select[name=tuning]", "default settings")
    assert len(texts(filters, "#run-table tbody tr")) == everything - len(shown)


def test_differences_are_those_of_the_table_and_turn_around_with_the_reference(
    browser: Any,
) -> None:
    assert browser.execute_script("return reference.selectedOptions[0].text") == "Full fine-tuning"
    (first,) = [row for row in compare_methods(make_results()) if row.title == setting(browser)]
    table = compare_with(first.scores, "full", first.runs).set_index("method")
    wanted = table.loc["lora", "difference"]
    ends = [100 * each for each in (wanted.value, wanted.low, wanted.high)]
    assert column_numbers(browser, "LoRA") == pytest.approx(ends, abs=0.01)
    choose(browser, "#reference", "LoRA")
    turned = [-ends[0], -ends[2], -ends[1]]
    assert column_numbers(browser, "Full fine-tuning") == pytest.approx(turned, abs=0.01)
    choose(browser, "#reference", "Full fine-tuning")


def setting(browser: Any) -> str:
    return browser.execute_script("return data[differenceSetting.value].setting")


def column_numbers(browser: Any, method: str) -> list[float]:
    """Return the difference of a method to the chosen one, and the ends of its interval."""
    found = browser.execute_script(
        "const row = [...differenceTable.tBodies[0].rows]"
        ".find((each) => each.cells[0].textContent === arguments[0]);"
        "return [...row.cells].slice(1, 4).map((cell) => cell.dataset.value)",
        method,
    )
    return list(map(float, found))


def test_the_table_of_comparisons_has_intervals(browser: Any) -> None:
    cells = texts(browser, "section[id^=comparison-brats] tbody tr:first-child td")
    assert any(re.search(r"[+-]\d+\.\d \[[+-]\d+\.\d, [+-]\d+\.\d\]", text) for text in cells)


def test_runs_are_filtered_and_linked(browser: Any) -> None:
    browser.execute_script("filter.value = 'kits oom'; filter.dispatchEvent(new Event('input'))")
    assert (
        browser.execute_script("return document.getElementById('shown').textContent") == "4 of 56"
    )
    run = make_results()[0].run_id
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_everybody_can_use_it(browser: Any, page: Path, scheme: str, width: int) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())
    assert find_barriers(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


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


def test_a_page_without_scores_says_so(browser: Any, page: Path) -> None:
    failed = without_numbers(read_fixture()[0], Status.FAILED, "no space left")
    empty = page.with_name("empty.html")
    empty.write_text(format_page(Page([failed], compare_methods([failed]), [], [], [])))
    browser.get(empty.as_uri())
    for button in ("next", "previous", "worst", "best"):
        click(browser, f"#{button}")
    assert texts(browser, "#case-detail") == ["No run of this choice has scores of cases."]
    assert browser.get_log("browser") == []
