"""Prices: from probes and from runs, on phase times with a known answer."""

from dataclasses import replace

import pytest

from bench.cost.phases import FIT, MEASURE, PREPARE, SCORE, VALIDATE, WRITE
from bench.grid.bill.bill import Bill, Item
from bench.grid.bill.miniature import N_STEPS, cut_split, make_probe
from bench.grid.bill.prices import Price, price_by_runs, probe_seconds
from bench.grid.bill.ready import Ready
from bench.grid.plan import Plan
from bench.grid.slots import Slots
from bench.specs.protocol import override
from datasets.splits.rule import Split
from reports.records.cost import Cost, Memory, PhaseTime, Timing
from reports.records.run import RunResult, Status

UNITS = {PREPARE: 1, FIT: 100, VALIDATE: 20, WRITE: 1, SCORE: 10, MEASURE: 1}
MEMORY = Memory(10.0, 1.0, 2.0, 30.0)


def result_of(phases, train_step, inference, wall_s):
    times = tuple(PhaseTime(*each) for each in phases)
    cost = Cost(
        1, 1, 1, 0.5, 1.0, 1.0, 600.0, memory=MEMORY, phases=times, delta_mib=4.0,
        data_wait_s=0.6, train_step=train_step, inference=inference,
    )  # fmt: skip
    return RunResult(
        run_id="r", status=Status.DONE, reason="", method="lora", settings={}, label="LoRA",
        dataset="brats", backbone="b", weights="none", fold=0, seed=0, protocol_id="p",
        protocol={}, synthetic=True, cost=cost, provenance={"wall_s": wall_s},
    )  # fmt: skip


PROBE = result_of(
    [
        (PREPARE, 1, 3.0, 3.0),
        (FIT, 6, 20.0, 9.5),
        (VALIDATE, 1, 5.0, 5.0),
        (WRITE, 1, 1.0, 1.0),
        (SCORE, 2, 9.0, 6.0),
        (MEASURE, 1, 8.0, 8.0),
    ],
    Timing(2.0, 0.0, 3),
    Timing(1.5, 0.0, 3),
    47.0,
)


def test_a_probe_tells_the_seconds_of_a_run(make_run):
    # 100 batches as 5 of 2.1 s and 3 of 2 s, 20 cases of 1.5 s, 10 of 3 s and 3 s for a picture,
    # 3 s and 1 s around, 1 s outside the phases, 8 s to measure
    expected = 100 * (5 * 2.1 + 3 * 2) / 8 + 20 * 1.5 + 10 * 3 + 3 + 4 + 1 + 8
    assert probe_seconds(make_run(), UNITS, PROBE) == pytest.approx(expected)


def test_steps_that_accumulate_take_longer_to_measure(make_run):
    plain = make_run()
    spec = replace(plain, protocol=override(plain.protocol, "train.accumulate=8"))
    more_s = probe_seconds(spec, UNITS, PROBE) - probe_seconds(plain, UNITS, PROBE)
    assert more_s == pytest.approx(7 * 2.0)


def test_runs_that_are_done_tell_more_than_a_probe():
    phases = [
        (PREPARE, 1, 3.0, 3.0),
        (FIT, 50, 101.0, 3.0),
        (VALIDATE, 20, 30.0, 1.5),
        (WRITE, 1, 1.0, 1.0),
        (SCORE, 10, 30.0, 3.0),
        (MEASURE, 1, 8.0, 8.0),
    ]
    half = UNITS | {FIT: 50}
    done = result_of(phases, Timing(2.0, 0.0, 3), Timing(1.5, 0.0, 3), 173.0)
    slower = result_of(
        [(name, units, 1.1 * all_s, 1.1 * first_s) for name, units, all_s, first_s in phases],
        Timing(2.0, 0.0, 3), Timing(1.5, 0.0, 3), 190.3,
    )  # fmt: skip
    price = price_by_runs(UNITS, [(done, half)])
    assert price.seconds == pytest.approx(173 + 100)
    assert (price.source, price.memory_mib, price.checkpoint_mib) == ("runs", 600.0, 20.0)
    both = price_by_runs(UNITS, [(done, half), (slower, half)])
    assert both.seconds == pytest.approx(1.05 * 273)
    assert both.spread > price.spread
    assert price_by_runs(UNITS, []) is None


def test_runs_of_one_kind_share_a_probe(make_run):
    first = make_run("lora")
    others = [
        replace(first, fold=1, seed=3),
        replace(first, protocol=override(first.protocol, "train.epochs=9")),
        replace(first, protocol=override(first.protocol, "train.lr=0.5")),
        replace(first, chosen=(("train.lr", "0.1"),), study="s#1"),
    ]
    probe = make_probe(first, 0)
    assert {make_probe(other, 0).run_id for other in others} == {probe.run_id}
    different = [
        make_run("linear"),
        replace(first, protocol=override(first.protocol, "data.patch=8,32,32")),
        replace(first, protocol=override(first.protocol, "train.batch=1")),
    ]
    assert probe.run_id not in {make_probe(other, 0).run_id for other in different}
    assert probe.protocol.data.patches_per_epoch == N_STEPS * 2


def test_a_probe_has_no_held_out_case():
    split = cut_split(Split(("a", "b"), ("c", "d"), ("e", "f")))
    assert split == Split(("a",), ("c",), ("c", "c"))


def price_of(seconds, source="probe"):
    return Price(seconds, 0.2, 2048.0, 512.0, 256.0, source, {})


def test_a_bill_adds_up(make_run):
    specs = [make_run("lora"), make_run("linear"), make_run("full"), make_run("ssf")]
    prices = [price_of(3600.0), price_of(1800.0), price_of(1800.0), None]
    items = tuple(Item(spec, price) for spec, price in zip(specs, prices, strict=True))
    ready = Ready(Plan(tuple(specs), ()), (), specs, specs[0].root, Slots(("cpu",)))
    total = Bill(items, {}).total(ready, 2, [600.0])
    assert total.device_h == pytest.approx((7200 + 600) / 3600)
    assert total.wall_s == pytest.approx(600 + 3600)
    assert total.spread == pytest.approx(0.2)
    assert (total.results_gib, total.checkpoints_gib) == (1.5, 0.5)
    assert total.n_unknown == 1
    assert Bill(items, {}).total(ready, None).wall_s == pytest.approx(3600)


def test_prices_by_runs_are_wrong_one_by_one(make_run):
    specs = [make_run()] * 4
    items = tuple(Item(spec, price_of(100.0, "runs")) for spec in specs)
    ready = Ready(Plan(tuple(specs), ()), (), specs, specs[0].root, Slots(("cpu",)))
    assert Bill(items, {}).total(ready, 1).spread == pytest.approx(0.1)
