"""What a table over several data sets says where these are not independent of each other."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import pytest

from reports.analysis.cases.shared import describe_shared_cases
from reports.analysis.comparison import compare_methods
from reports.records.release import ReleaseRecord
from reports.records.run import RunResult
from reports.tables.kinds.main import main_tables
from tests.reports.made_results import make_result

BRATS2019 = ReleaseRecord("BraTS 2019", "brats", {"brats2020": "is contained in"})
BRATS2020 = ReleaseRecord("BraTS 2020", "brats", {"brats2019": "contains"})
KITS21 = ReleaseRecord("KiTS21", "kits", {"kits19": "contains"})


def of_release(name: str, release: ReleaseRecord | None) -> list[RunResult]:
    family = release.family if release else name
    results = [make_result("linear", family), make_result("lora", family)]
    return [replace(result, dataset=name, release=release) for result in results]


def describe(*groups: list[RunResult]) -> list[str]:
    return describe_shared_cases(compare_methods([*chain.from_iterable(groups)]))


def test_releases_that_contain_each_other() -> None:
    found = describe(of_release("brats2020", BRATS2020), of_release("brats2019", BRATS2019))
    independent = "The data sets are not independent of each other"
    assert found == [f"{independent}: BraTS 2020 contains BraTS 2019."]


def test_one_side_knows_it() -> None:
    older = replace(BRATS2019, overlaps={})
    found = describe(of_release("brats2019", older), of_release("brats2020", BRATS2020))
    assert found[0].endswith(": BraTS 2020 contains BraTS 2019.")


def test_independent_data_sets_need_no_sentence() -> None:
    assert describe(of_release("brats2020", BRATS2020), of_release("kits21", KITS21)) == []
    assert describe(of_release("brats2020", BRATS2020)) == []
    assert describe(of_release("brats", None), of_release("kits", None)) == []


def test_a_result_without_release_may_be_of_any() -> None:
    found = describe(of_release("brats", None), of_release("brats2019", BRATS2019))
    sentence = "BraTS is of an unrecorded release and may share cases with BraTS 2019."
    assert found[0].endswith(sentence)


def test_main_table_has_the_releases_side_by_side_and_says_it() -> None:
    results = of_release("brats2019", BRATS2019) + of_release("brats2020", BRATS2020)
    (table,) = main_tables(compare_methods(results))
    headings = list(dict.fromkeys(column.heads[0] for column in table.columns if column.heads[0]))
    assert headings == ["BraTS 2019 (n = 10)", "BraTS 2020 (n = 10)"]
    keys = {column.key.partition(":")[0] for column in table.columns if ":" in column.key}
    assert keys == {"brats2019", "brats2020"}
    assert table.title == "BraTS 2019, BraTS 2020 · Tiny ViT/8"
    caption = " ".join(table.caption)
    assert "PET methods on BraTS 2019, BraTS 2020; " in caption
    assert "not independent of each other: BraTS 2019 is contained in BraTS 2020." in caption


def test_a_rank_test_over_data_sets_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from reports.analysis.ranks import Friedman
    from reports.figures import gallery
    from reports.figures.style import assign_looks

    results = of_release("brats2019", BRATS2019) + of_release("brats2020", BRATS2020)
    test = Friedman(2, {"linear": 2.0, "lora": 1.0}, 2.0, 0.1, 2.0, 0.1, 1.5)
    monkeypatch.setattr(gallery, "friedman_nemenyi", lambda scores: test)
    looks = assign_looks({("linear", "linear"), ("lora", "lora")}, {})
    (picture,) = gallery._plan_critical(compare_methods(results), looks)
    assert "over 2 data sets: p = 0.1." in picture.caption
    assert "not independent of each other: BraTS 2019 is contained in" in picture.caption
