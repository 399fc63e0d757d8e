"""Tables grouped by the families of their methods, and pictures coloured by them."""

from __future__ import annotations

from dataclasses import replace

import pytest

import methods
from methods.base import Family
from reports.figures.style import assign_looks
from reports.names import BUILT_IN_NAMES, FAMILIES
from reports.records.run import RunResult
from reports.tables.build import ReportRequest, build_tables
from reports.tables.families import find_families, group_by_family
from reports.tables.view import View
from tests.reports.made_results import read_fixture

ORDER = ["full", "linear", "vpt_deep", "lora", "adaptformer", "med_adapter"]


@pytest.fixture
def results() -> list[RunResult]:
    mine = [run for run in read_fixture() if run.dataset == "brats" and run.label in ORDER]
    return [replace(run, family=methods.family_of(run.method)) for run in mine]


def test_families_are_headings_in_their_order(results):
    view = group_by_family(View(by_family=True), results[::-1], BUILT_IN_NAMES)
    (table,) = build_tables(results, ReportRequest(view=view), per_dataset=False)
    labels = [cell.own_key for cell in table.columns[0].cells]
    under = {heading: labels[number] for number, heading in table.sections.items()}
    assert list(under) == ["Baselines", "Prompts", "Adapters", "Low-rank updates", "Volumetric"]
    assert under["Prompts"] == "vpt_deep"
    assert sorted(labels) == sorted(ORDER)


def test_a_family_has_one_colour_and_its_methods_have_markers(results):
    labels = [(name, name) for name in ORDER]
    looks = assign_looks(labels, find_families(results))
    assert looks["full"].colour == looks["linear"].colour
    assert looks["full"].marker != looks["linear"].marker
    assert len({looks[name].colour for name in ORDER}) == 5


def test_every_family_has_a_name_and_every_method_a_family():
    assert set(FAMILIES) == {str(family) for family in Family}
    for name in methods.names():
        assert methods.family_of(name) == methods.get(name).info.family
