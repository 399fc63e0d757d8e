"""The shares of a run's time add up to the whole; records without phases show a dash."""

from dataclasses import replace

import pytest

from reports.analysis.comparison import compare_methods
from reports.records.cost import Cost, PhaseTime
from reports.records.run import RunResult
from reports.tables.kinds.utilisation import COMPILED, PARTLY, utilisation_tables
from tests.reports.made_results import make_result

PHASES = (
    ("prepare", 6),
    ("fit", 60),
    ("validate", 10),
    ("write", 1),
    ("score", 15),
    ("measure", 8),
)


def with_phases(run: RunResult, phases: tuple[tuple[str, float], ...] = PHASES) -> RunResult:
    times = tuple(PhaseTime(name, 1, seconds, seconds) for name, seconds in phases)
    assert run.cost is not None
    return replace(run, cost=replace(run.cost, phases=times, data_wait_s=9.0))


def read_cost_of(run: RunResult) -> Cost:
    assert run.cost is not None
    return run.cost


def test_shares_are_of_all_phases_and_add_up_to_one() -> None:
    shares = read_cost_of(with_phases(make_result("full"))).shares
    assert shares is not None
    assert shares.step == pytest.approx(0.51)
    assert shares.wait == pytest.approx(0.09)
    assert shares.validate == pytest.approx(0.1)
    assert shares.start == pytest.approx(0.06)
    assert sum(vars(shares).values()) == pytest.approx(1)


def test_more_waiting_than_fitting_is_no_negative_share() -> None:
    shares = read_cost_of(with_phases(make_result("full"), (("fit", 5.0), ("score", 5.0)))).shares
    assert shares is not None
    assert (shares.step, shares.wait) == (0, 0.5)


def test_a_record_without_phases_shows_a_dash() -> None:
    old = make_result("linear")
    assert read_cost_of(old).shares is None
    (table,) = utilisation_tables(compare_methods([with_phases(make_result("full")), old]))
    cells = {column.key: [cell.text for cell in column.cells] for column in table.columns}
    assert cells["step_pct"] == ["51.0", "–"]
    assert cells["wait_pct"] == ["9.0", "–"]
    assert "gpu_busy_pct" not in cells
    assert PARTLY in " ".join(table.caption)


def test_the_busy_share_of_a_gpu_has_a_column() -> None:
    run = with_phases(make_result("full"))
    run = replace(run, cost=replace(read_cost_of(run), gpu_busy_frac=0.87))
    (table,) = utilisation_tables(compare_methods([run]))
    (busy,) = [column for column in table.columns if column.key == "gpu_busy_pct"]
    assert busy.cells[0].value == pytest.approx(87)


def test_compiling_has_a_share_of_its_own() -> None:
    plain = with_phases(make_result("linear"))
    run = with_phases(make_result("full"))
    run = replace(run, cost=replace(read_cost_of(run), compile_s=100.0))
    shares = read_cost_of(run).shares
    assert shares is not None
    assert (shares.step, shares.compile) == (pytest.approx(0.255), 0.5)
    assert sum(vars(shares).values()) == pytest.approx(1)
    (table,) = utilisation_tables(compare_methods([run, plain]))
    cells = {column.key: [cell.text for cell in column.cells] for column in table.columns}
    assert sorted(cells["compile_pct"]) == ["50.0", "–"]
    assert COMPILED in " ".join(table.caption)
    (table,) = utilisation_tables(compare_methods([plain]))
    assert "compile_pct" not in {column.key for column in table.columns}


def test_records_without_phases_alone_are_refused() -> None:
    with pytest.raises(ValueError, match="must have a run with the times of its phases, got none"):
        utilisation_tables(compare_methods([make_result("full")]))
