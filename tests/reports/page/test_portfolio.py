"""The folder of everything: every table and picture has a file of its own."""

import re
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import replace
from itertools import product
from typing import Any

from reports.analysis.comparison import compare_methods
from reports.figures.gallery import list_pictures
from reports.figures.picture import Picture
from reports.figures.style import assign_looks
from reports.page.page import Page, format_page
from reports.page.portfolio import Portfolio, make_unique, name_files, start_drawing
from reports.records.run import RunResult
from reports.records.study import StudyRecord, TrialRecord
from reports.tables.build import ReportRequest, build_tables_of
from reports.tables.kinds.main import main_tables
from reports.tables.kinds.paper import paper_tables
from reports.tables.kinds.tuning import tuning_tables
from tests.reports.made_results import make_result, tuned_on

METHODS = ("linear", "lora")
TUNE = {"trials": 8, "budget_s": 0.0, "sampler": "tpe", "pruner": "median", "epochs": 0}
TUNE |= {"objectives": "dice", "per_fold": False, "seed": 0}


def make_everything() -> list[RunResult]:
    """Return runs of several weights, shots and budgets, tuned and not."""
    runs = []
    for weights, shots, name in product(("none", "in21k"), (None, 5, 10), METHODS):
        plain = make_result(name, weights=weights, shots=shots)
        runs += [plain, tuned_on(plain, 0), tuned_on(plain, 0, trials=20)]
    return runs


def make_studies() -> list[StudyRecord]:
    trial = TrialRecord(0, "done", {}, 0.5, 10, 1.0)
    studies = []
    for shots, trials, epochs in product((0, 5), (8, 20), (0, 10)):
        tune = TUNE | {"trials": trials, "epochs": epochs}
        where = ("lora", "brats", "tiny_vit", "none", 0, shots)
        studies.append(StudyRecord("s", *where, True, "p", tune, {}, (trial,)))
    return studies


def test_no_two_files_have_one_name() -> None:
    results, studies = make_everything(), make_studies()
    summaries = compare_methods(results)
    request = ReportRequest(kind="all")
    tables = [*build_tables_of(summaries, request, per_dataset=False)[0], *tuning_tables(studies)]
    kinds = {table.kind for table in tables}
    assert {"main", "efficiency", "pretraining", "kshot", "gap", "comparison", "tuning"} <= kinds
    counts = {kind: sum(table.kind == kind for table in tables) for kind in kinds}
    n_settings = 2 * 3 * 3
    assert counts["main"] == counts["comparison"] == n_settings
    assert counts["gap"] == 2 * 3 * 2
    assert counts["pretraining"] == 3 * 3
    assert counts["kshot"] == 2 * 3
    assert counts["tuning"] == len(studies)
    of_results = [table.slug for table in tables if table.kind != "tuning"]
    assert len(set(of_results)) == len(of_results), "these names hold all of a setting"

    looks = assign_looks({(run.method, run.label) for run in results}, {})
    pictures, _ = list_pictures(summaries, studies, lambda run, case: None, looks)
    assert {"kshot", "tuning", "learning"} <= {picture.slug.split("-")[0] for picture in pictures}
    drawn = [(picture, "<svg></svg>") for picture in make_unique(pictures)]
    page = Page(results, summaries, make_unique(tables), drawn, [])
    rendered = [{"pdf": b"", "png": b""} for _ in drawn]
    files = name_files(Portfolio(page, [picture for picture, _ in drawn], rendered))
    assert len(files) == 3 + n_settings + 3 * len(tables) + 2 * len(pictures)
    assert sum(name.startswith("cases/dice-") for name in files) == n_settings
    anchors = re.findall(r' id="([^"]+)"', files["index.html"].decode())
    assert len(set(anchors)) == len(anchors)


def test_equal_slugs_get_numbers() -> None:
    (table,) = main_tables(compare_methods([make_result("lora")]))
    upper = replace(table, slug=table.slug.upper())
    found = make_unique([table, upper, table])
    assert [each.slug for each in found] == [table.slug, f"{upper.slug}-2", f"{table.slug}-3"]


def test_the_page_has_the_group_of_each_row() -> None:
    runs = [make_result(name, weights=each) for each in ("none", "in21k") for name in METHODS[:2]]
    summaries = compare_methods(runs)
    text = format_page(Page(runs, summaries, paper_tables(summaries), [], []))
    for name in ("Tiny ViT/8, from scratch", "Tiny ViT/8, ImageNet-21k"):
        assert len(re.findall(f'<tr[^>]*><td class="word">{name}</td>', text)) == 2


def test_a_picture_is_drawn_while_the_next_is_planned() -> None:
    results = [make_result(name) for name in METHODS]
    looks = assign_looks({(run.method, run.label) for run in results}, {})
    compared = compare_methods(results)
    first, second, *_ = list_pictures(compared, [], lambda run, case: None, looks)[0]
    submitted: list[str] = []

    class Renderers(Executor):
        def submit(self, function: Any, picture: Any, *rest: Any, **named: Any) -> Future[Any]:
            submitted.append(picture.slug)
            return Future()

    def plan() -> Iterator[Picture | str]:
        yield first
        assert submitted == [first.slug]
        yield "not drawn"
        yield second
        yield first

    drawing, undrawn = start_drawing(Renderers(), plan(), ("svg",))
    assert [picture.slug for picture, _ in drawing] == submitted
    assert submitted == [first.slug, second.slug, f"{first.slug}-2"]
    assert undrawn == ["not drawn"]
