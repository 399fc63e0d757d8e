"""The bill of a grid: every run's price, the search of values before it, and all together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt

from bench.cost.phases import Units, schedule_s
from bench.grid.bill.prices import Price, price_by_runs, price_run
from bench.grid.bill.probes import (
    Prepared,
    carry_out_probes,
    find_probes,
    prepare_probes,
    probe_folder,
)
from bench.grid.bill.ready import Ready
from bench.grid.forecast import kind_of
from bench.grid.plan import OnCase, count_work
from bench.grid.runner import Event
from bench.run.watch.log_file import LOG_FILE
from bench.specs.run import RunSpec, run_folder
from reports.records.run import RunResult

GIB = 1024.0  # MiB


@dataclass(frozen=True)
class Item:
    """A cell of the grid and what it will take; None: not known, and why."""

    spec: RunSpec
    price: Price | None
    reason: str = ""


@dataclass(frozen=True)
class Total:
    """All together.

    Attributes:
        device_h: hours of devices, with the interval below.
        wall_s: until the last run has ended on the slots.
        spread: relative half of both intervals.
        memory_mib: the largest of a run.
        prepared_gib: arrays of all cases of the data sets.
        results_gib: of all runs.
        checkpoints_gib: of the runs that go on at once.
        n_unknown: runs that are not in it.
    """

    device_h: float
    wall_s: float
    spread: float
    memory_mib: float
    prepared_gib: float
    results_gib: float
    checkpoints_gib: float
    n_unknown: int


@dataclass(frozen=True)
class Bill:
    """What the runs that are left to do will take.

    Attributes:
        items: of the runs, in their order.
        prepared: what preparing a case of a data set takes.
    """

    items: tuple[Item, ...]
    prepared: Mapping[str, Prepared]

    def total(self, ready: Ready, n_slots: int | None, extra_s: Sequence[float] = ()) -> Total:
        """Return all together on a number of slots; None: all at once.

        ``extra_s`` are the seconds of what comes before the runs, a number for each search.
        """
        prices = [item.price for item in self.items if item.price is not None]
        seconds = [price.seconds for price in prices]
        n_places = n_slots or max(1, len(seconds))
        prepared_mib = 0.0
        prepare_s = 0.0
        for source in ready.plan.sources:
            each = self.prepared.get(source.name)
            if each is not None:
                n_ready = sum(1 for _ in (ready.out / "cache" / source.name).glob("*"))
                prepared_mib += each.case_mib * len(source.cases)
                prepare_s += each.case_s * max(0, len(source.cases) - n_ready)
        checkpoints = sorted((price.checkpoint_mib for price in prices), reverse=True)
        searches_s = schedule_s([], extra_s, n_places) if extra_s else 0.0
        return Total(
            (sum(seconds) + sum(extra_s)) / 3600,
            prepare_s + searches_s + schedule_s([], seconds, n_places),
            _join_spreads(prices),
            max((price.memory_mib for price in prices), default=0.0),
            prepared_mib / GIB,
            sum(price.results_mib for price in prices) / GIB,
            sum(checkpoints[:n_places]) / GIB,
            len(self.items) - len(prices),
        )


def prepare_bill(ready: Ready, on_case: OnCase) -> dict[str, Prepared]:
    """Prepare the cases of the probes; return what that took, by data set."""
    probes = list(find_probes(ready.to_do).values())
    folder = probe_folder(ready.out, ready.slots)
    return prepare_probes(probes, ready.plan.sources, folder, on_case)


def make_bill(
    ready: Ready,
    prepared: Mapping[str, Prepared],
    watch: Callable[[Sequence[RunSpec]], Callable[[Event], None]],
) -> Bill:
    """Return the bill of a grid; what is not known from runs is probed.

    Args:
        ready: the grid.
        prepared: of `prepare_bill`.
        watch: called with the probes; returns a function that is called with their events.
    """
    units = count_work([*ready.to_do, *(spec for spec, _ in ready.finished)], ready.plan.splits)
    prices = _price_by_runs(ready, units)
    unknown = [spec for spec in ready.to_do if spec.run_id not in prices]
    probes = find_probes(unknown)
    distinct = list({probe.run_id: probe for probe in probes.values()}.values())
    folder = probe_folder(ready.out, ready.slots)
    slots = replace(ready.slots, timeout_s=float("inf"))  # the limit is for runs
    results = carry_out_probes(distinct, folder, slots, watch(distinct))
    items = []
    for spec in ready.to_do:
        if spec.run_id in prices:
            items.append(Item(spec, prices[spec.run_id]))
            continue
        probe = probes[spec.run_id]
        place = run_folder(folder, probe)
        if probe.run_id not in results:
            items.append(Item(spec, None, f"its probe has failed: see {place / LOG_FILE}"))
            continue
        result = results[probe.run_id]
        price = price_run(spec, units[spec.run_id], result, place)
        items.append(Item(spec, price, result.reason))
    return Bill(tuple(items), prepared)


def _price_by_runs(ready: Ready, units: Mapping[str, Units]) -> dict[str, Price]:
    """Return the prices that are known from runs, by the ids of the runs that are to do."""
    known: dict[str, list[tuple[RunResult, Units]]] = {}
    for spec, result in ready.finished:
        is_alike = result.is_compiled == ready.slots.means.compiled
        if is_alike:
            known.setdefault(_name_kind(spec), []).append((result, units[spec.run_id]))
    prices = {}
    for spec in ready.to_do:
        price = price_by_runs(units[spec.run_id], known.get(_name_kind(spec), []))
        if price is not None:
            prices[spec.run_id] = price
    return prices


def _name_kind(spec: RunSpec) -> str:
    return f"{kind_of(spec)} {spec.chosen}"


def _join_spreads(prices: Sequence[Price]) -> float:
    """Return the relative half of the interval of a sum.

    Prices by probes of one machine are wrong together, those by runs each by itself.
    """
    whole_s = sum(price.seconds for price in prices)
    if not whole_s:
        return 0.0
    together_s = sum(price.spread * price.seconds for price in prices if price.source == "probe")
    alone_s = 0.0
    for price in prices:
        if price.source != "probe":
            alone_s += (price.spread * price.seconds) ** 2
    return (together_s + sqrt(alone_s)) / whole_s
