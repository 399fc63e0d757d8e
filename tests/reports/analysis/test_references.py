"""A reference network stands beside the methods on every backbone that it can be compared with."""

from dataclasses import replace

import pytest

from reports.analysis.comparison import compare_methods
from reports.analysis.references import place_references
from reports.figures.style import assign_looks
from reports.figures.tradeoff import AXES, RING, draw_tradeoff
from reports.formats.latex import format_latex
from reports.records.run import REFERENCE, RunResult
from reports.tables.kinds.efficiency import efficiency_tables
from reports.tables.kinds.main import main_tables
from reports.tables.layout import REFERENCES
from reports.tables.wording import WHOLE
from tests.reports.made_results import make_result

BACKBONES = ("tiny_vit", "tiny_swin")


def make_reference(**changes) -> RunResult:
    """Return the run of a network, with the protocol that the program writes for one."""
    run = make_result("full", label="net:nnunet")
    protocol = {section: run.protocol[section] for section in run.protocol if section != "model"}
    run = replace(run, method="net:nnunet", kind=REFERENCE, backbone="none", weights="none")
    return replace(run, **{"protocol": protocol, "protocol_id": "net", **changes})


def make_methods() -> list[RunResult]:
    runs = []
    for backbone in BACKBONES:
        for method in ("linear", "lora"):
            runs.append(replace(make_result(method, backbone=backbone), protocol_id=backbone))
    return runs


def test_one_run_is_in_the_table_of_every_backbone_and_comes_last() -> None:
    comparisons = compare_methods([make_reference(), *make_methods()])
    assert [each.setting.backbone for each in comparisons] == list(BACKBONES)
    for comparison in comparisons:
        assert list(comparison.rows["method"]) == ["linear", "lora", "net:nnunet"]
        assert list(comparison.rows["kind"]) == ["method", "method", "reference"]
        assert not comparison.mixed
        assert comparison.ranked == (True, True, True)


def test_tables_have_it_under_a_heading_and_say_what_it_is() -> None:
    comparisons = compare_methods([*make_methods(), make_reference()])
    for table in [*main_tables(comparisons), *efficiency_tables(comparisons)]:
        assert table.sections == {2: REFERENCES}
        assert WHOLE in table.caption
        assert REFERENCES in format_latex(table)


def test_tables_without_one_are_as_they_were() -> None:
    for table in main_tables(compare_methods(make_methods())):
        assert table.sections == {}
        assert WHOLE not in table.caption


def test_another_protocol_is_refused_with_the_field() -> None:
    reference = make_reference()
    other = reference.protocol | {"train": {"lr": 0.01, "epochs": 5}}
    with pytest.raises(ValueError, match=r"must have one protocol, got .* train\.lr"):
        compare_methods([*make_methods(), replace(reference, protocol=other)])


def test_of_two_protocols_each_setting_has_its_own() -> None:
    long = {"train": {"lr": 0.001, "epochs": 9}}
    swin = make_methods()[-1]
    swin = replace(swin, protocol=swin.protocol | long)
    short_net = make_reference()
    long_net = replace(short_net, protocol=short_net.protocol | long, protocol_id="long")
    placed = place_references([*make_methods()[:2], swin, short_net, long_net])
    found = [(run.backbone, run.protocol["train"]["epochs"]) for run in placed[3:]]
    assert found == [("tiny_vit", 5), ("tiny_swin", 9)]


def test_without_a_method_to_compare_with_it_has_a_table_of_its_own() -> None:
    (comparison,) = compare_methods([make_reference()])
    (table,) = main_tables([comparison])
    assert table.sections == {}
    assert table.title == comparison.heading
    assert table.caption[0] == f"reference networks on {comparison.heading}."
    assert str(comparison.setting).endswith("reference networks")


def test_the_trade_off_has_a_ring_around_it() -> None:
    runs = [*make_methods()[:2], make_reference()]
    (comparison,) = compare_methods(runs)
    looks = assign_looks({(run.method, run.label) for run in runs}, {})
    figure = draw_tradeoff(comparison, AXES[0], looks)
    (ring,) = [line for line in figure.axes[0].lines if line.get_markersize() == RING["markersize"]]
    row = comparison.rows.iloc[2]
    assert ring.get_xydata().tolist() == [[row["tuned_pct"], row["dice/mean"]]]
