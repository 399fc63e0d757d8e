"""Runs with several decoders: tables of their own, and groups of rows in the paper's layout."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.models import registry
from reports.analysis.tidy import setting_of
from reports.names import BUILT_IN_NAMES
from reports.records.run import RunResult
from reports.tables.build import ReportRequest, build_tables
from tests.reports.made_results import read_fixture


@pytest.fixture
def results() -> list[RunResult]:
    """The same runs with the backbone's own decoder, without naming it, and with a UPerNet."""
    own = [run for run in read_fixture() if run.dataset == "brats" and run.label != "vpt_deep"]
    other = []
    for run in own:
        protocol = run.protocol | {"model": {"decoder": "upernet"}}
        run = replace(run, run_id=f"{run.run_id}-u", protocol=protocol, protocol_id="f0f0")
        other.append(run)
    return [*own, *other]


def test_each_decoder_has_a_table_that_names_it(results):
    tables = build_tables(results, ReportRequest(), per_dataset=False)
    assert len(tables) == 2
    assert len({table.slug for table in tables}) == 2
    captions = [" ".join(table.caption) for table in tables]
    assert "decoder" not in captions[0].partition(".")[0]
    assert ", decoder UPerNet." in captions[1]


def test_the_papers_layout_has_a_group_of_rows_for_each(results):
    (table,) = build_tables(results, ReportRequest(kind="paper"), per_dataset=False)
    headings = list(table.sections.values())
    assert len(headings) == 2
    assert headings[1] == f"{headings[0]}, decoder UPerNet"


def test_records_that_do_not_name_a_decoder_mean_the_backbones_own(results):
    run = results[0]
    named = replace(run, protocol=run.protocol | {"model": {"decoder": "own"}})
    assert setting_of(named) == setting_of(run)
    assert setting_of(named).decoder == ""


def test_every_decoder_can_be_named_for_every_backbone_that_can_host_it():
    for backbone in registry.names():
        for name, info in registry.DECODERS.items():
            if info.needs_swin and not registry.get(backbone).is_swin:
                with pytest.raises(ValueError, match="must decode a Swin Transformer"):
                    registry.get_decoder(name, backbone)
            else:
                assert registry.get_decoder(name, backbone) is info
            assert "_" not in BUILT_IN_NAMES.find(name)
