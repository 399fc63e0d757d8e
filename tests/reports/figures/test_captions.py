"""What the captions of pictures say of the runs."""

from dataclasses import replace

import pytest

from reports.analysis.comparison import compare_methods
from reports.figures.gallery import list_pictures
from reports.figures.picture import ROUGH
from reports.records.run import RunResult, Status
from tests.reports.figures.test_figures import looks_of
from tests.reports.figures.test_panels import made_slices
from tests.reports.made_results import make_result


def caption_of(results: list[RunResult], name: str) -> str:
    pictures, _ = list_pictures(
        compare_methods(results), [], lambda run, case: None, looks_of(results)
    )
    (picture,) = [each for each in pictures if each.slug.startswith(name)]
    return picture.caption


@pytest.mark.parametrize("name", ["dice-flops", "cases", "ranks", "differences"])
def test_a_caption_names_the_methods_that_the_picture_lacks(name: str) -> None:
    results = [make_result(each, n_cases=16) for each in ("full", "lora", "linear")]
    assert "not compared" not in caption_of(results, name)
    failed = replace(results[2], status=Status.FAILED, reason="why", cases=(), cost=None)
    caption = caption_of([*results[:2], failed], name)
    assert "Not all runs done, so not compared: Linear probing." in caption


@pytest.mark.parametrize("name", ["dice-flops", "ranks", "differences"])
def test_a_caption_warns_of_intervals_of_few_cases(name: str) -> None:
    few = [make_result(each, n_cases=15) for each in ("full", "lora")]
    enough = [make_result(each, n_cases=16) for each in ("full", "lora")]
    assert ROUGH in caption_of(few, name)
    assert ROUGH not in caption_of(enough, name)


def test_a_caption_has_no_bars_where_none_are_drawn() -> None:
    caption = caption_of([make_result(each, n_cases=4) for each in ("full", "lora")], "dice-flops")
    assert "No front" in caption
    assert "Bars" not in caption


def test_the_caption_of_a_diagram_says_that_its_test_is_over_cases() -> None:
    once = [make_result(name) for name in ("full", "lora", "linear")]
    again = [make_result(name, seed=1) for name in ("full", "lora", "linear")]
    assert "Seeds are averaged" not in caption_of(once, "critical")
    assert "Seeds are averaged" in caption_of([*once, *again], "critical")


def test_captions_of_pictures_follow_from_the_runs() -> None:
    once = [make_result(name) for name in ("full", "lora")]
    twice = [*once, *(make_result(name, seed=1) for name in ("full", "lora"))]
    found = []
    for results in (once, twice):
        pictures, _ = list_pictures(
            compare_methods(results), [], lambda run, case: made_slices(), looks_of(results)
        )
        found.append({picture.slug.split("-brats")[0]: picture.caption for picture in pictures})
    for name, words in {
        "cases": "averaged over its seeds",
        "learning": "Mean over folds and seeds; the band",
        "panels": "averaged over its seeds, contours of the lowest seed",
    }.items():
        assert words not in found[0][name]
        assert words in found[1][name]
    assert "One run per method." in found[0]["learning"]
    assert all("Not tuned: default settings." in caption for caption in found[0].values())
