"""The page of a large store: every case of 1,000 runs, with images as large as runs keep them."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.reports.made_store import make_runs
from reports.page.page import format_page
from reports.page.panels import MOST_CASES, MOST_CHARACTERS, collect_panels
from reports.page.portfolio import Contents, build_portfolio
from reports.records.run import RunResult
from reports.records.slices import LONGEST_SIDE, CaseSlices
from reports.tables.build import ReportRequest, summarise

MOST_BYTES = 10_000_000


def draw_slices() -> CaseSlices:
    """Return a slice of noise, which no format makes small, with objects up to its edges."""
    rng = np.random.default_rng(0)
    shape = (1, LONGEST_SIDE, LONGEST_SIDE)
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    blocks = rng.integers(0, 4, (1, LONGEST_SIDE // 6, LONGEST_SIDE // 6), dtype=np.uint8)
    classes = blocks.repeat(6, axis=1).repeat(6, axis=2)
    return CaseSlices(np.array([0]), image, classes, classes[:, ::-1])


SLICES = draw_slices()


def read_slices(run: RunResult, case: str) -> CaseSlices:
    return SLICES


@pytest.mark.slow
def test_a_thousand_runs_fit_into_ten_megabytes() -> None:
    results = make_runs(1000)
    contents = Contents(results, [], read_slices, {})
    portfolio = build_portfolio(contents, ReportRequest(kind="all"), ("svg",))
    text = format_page(portfolio.page)
    assert all(run.run_id in text for run in results)
    assert len(portfolio.page.panels) > 50
    assert len(text.encode()) < MOST_BYTES


def test_images_are_shared_out_among_settings_the_extreme_cases_first() -> None:
    runs = [run for run in make_runs(1000) if run.fold == 0 and run.seed == 0]
    summaries = summarise(runs, ReportRequest())
    panels = collect_panels(summaries, read_slices)
    assert sum(each.size for each in panels.values()) <= MOST_CHARACTERS
    assert len(panels) <= MOST_CASES
    for summary in summaries:
        shown = [case for title, case in panels if title == summary.title]
        means = summary.scores.mean(axis="columns")
        assert {means.idxmax(), means.idxmin()} <= set(shown)


def test_a_case_without_images_is_left_out() -> None:
    (run,) = make_runs(1)
    both = [run, replace(run, run_id="other", label="other", method="other")]
    summaries = summarise(both, ReportRequest())
    found = collect_panels(summaries, lambda run, case: None if case.endswith("0") else SLICES)
    assert 0 < len(found) < len({row.case for row in run.cases})
