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


def test_decoders_of_earlier_runs_are_told_apart_by_mode_and_content(results):
    own = results[: len(results) // 2]
    runs = [*own]
    for mode, sha256 in (("frozen", "a" * 64), ("frozen", "b" * 64), ("peft", "a" * 64)):
        model = {"decoder_mode": mode, "decoder_from": f"sha256:{sha256}"}
        donor = {"run_id": f"donor-{sha256[0]}", "folder": "", "sha256": sha256}
        for run in own:
            changed = replace(
                run,
                run_id=f"{run.run_id}-{mode}-{sha256[0]}",
                protocol=run.protocol | {"model": model},
                protocol_id=f"{mode}-{sha256[0]}",
                provenance=run.provenance | {"decoder_from": donor},
            )
            fewer = replace(run.cost, params_decoder=0) if run.cost else None
            runs.append(replace(changed, cost=fewer))
    (table,) = build_tables(runs, ReportRequest(kind="paper"), per_dataset=False)
    first, *others = table.sections.values()
    assert others == [
        f"{first}, decoder frozen (aaaaaaaa)",
        f"{first}, decoder frozen (bbbbbbbb)",
        f"{first}, decoder with low-rank residuals (aaaaaaaa)",
    ]
    caption = " ".join(table.caption)
    assert "Decoder aaaaaaaa: of run donor-a. Decoder bbbbbbbb: of run donor-b." in caption
    assert "model.decoder, model.decoder_mode, model.decoder_from alone." in caption
    assert "DIFFER" not in caption


def test_counts_that_differ_by_decoder_are_no_means_over_data_sets(results):
    half = len(results) // 2
    larger = []
    for run in results[half:]:
        cost = replace(run.cost, params_total=run.cost.params_total + 1) if run.cost else None
        larger.append(replace(run, cost=cost))
    runs = [*results[:half], *larger]
    (table,) = build_tables(runs, ReportRequest(kind="paper"), per_dataset=False)
    assert "Counts are means" not in " ".join(table.caption)


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
