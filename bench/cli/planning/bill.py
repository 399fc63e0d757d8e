"""The bill of a plan, printed."""

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from bench.cli.display.cases import case_progress
from bench.cli.display.session import Session
from bench.cli.display.words import describe_spec
from bench.cli.options import TuneRequest
from bench.cli.planning.search import describe_searches, price_searches
from bench.cli.terminal import add_columns
from bench.grid.bill.bill import Bill, Item, Total, make_bill, prepare_bill
from bench.grid.bill.ready import Ready
from bench.grid.runner import Event
from bench.run.provenance import name_device
from bench.run.watch.progress import format_time
from bench.specs.run import RunSpec
from reports.formats.terminal import escape


def print_bill(
    ready: Ready, n_slots: int | None, tuning: TuneRequest | None, session: Session
) -> None:
    """Print what each run will take, and all together; with the search before, if there is one."""
    console = session.console
    bill = _make_bill(ready, session)
    searches = price_searches(ready.to_do, bill, ready, tuning) if tuning is not None else []
    _print_items(bill, console)
    total = bill.total(ready, n_slots, [each.seconds for each in searches])
    device = name_device(ready.slots.devices[0])
    for line in [*describe_searches(searches), *describe_total(total, n_slots, device)]:
        console.print(line, soft_wrap=True, highlight=False)


def _make_bill(ready: Ready, session: Session) -> Bill:
    """Return the bill, and show how many of the probes that it needs are done."""
    with case_progress(session.console, session.output) as on_case:

        def watch(probes: Sequence[RunSpec]) -> Callable[[Event], None]:
            ended: list[RunSpec] = []

            def on_event(event: Event) -> None:
                if event.result is not None:
                    ended.append(event.spec)
                on_case("probing", len(ended), len(probes))

            return on_event

        prepared = prepare_bill(ready, on_case)
        return make_bill(ready, prepared, watch)


def _print_items(bill: Bill, console: Console) -> None:
    title = f"{len(bill.items)} runs to do"
    numbers = ("time", "from", "to", "memory GiB", "disk MiB")
    table = add_columns(Table(title=title), ("run", "known from"), numbers)
    for item in bill.items:
        table.add_row(*_cells_of(item))
    console.print(table)


def _cells_of(item: Item) -> list[str]:
    price = item.price
    if price is None:
        return [describe_spec(item.spec), escape(item.reason), "", "", "", "", ""]
    low_s, high_s = price.seconds * (1 - price.spread), price.seconds * (1 + price.spread)
    times = [format_time(each) for each in (price.seconds, max(0.0, low_s), high_s)]
    sizes = [f"{price.memory_mib / 1024:.2f}", f"{price.results_mib:.1f}"]
    return [describe_spec(item.spec), price.source, *times, *sizes]


def describe_total(total: Total, n_slots: int | None, device: str) -> list[str]:
    """Return in words what all runs together take."""
    low, high = max(0.0, 1 - total.spread), 1 + total.spread
    places = f"{n_slots} at once" if n_slots else "all at once"
    wall = [format_time(total.wall_s * factor) for factor in (1, low, high)]
    hours = [f"{total.device_h * factor:.2f}" for factor in (1, low, high)]
    disk_gib = total.prepared_gib + total.results_gib + total.checkpoints_gib
    parts = [
        f"prepared arrays {total.prepared_gib:.2f}",
        f"results {total.results_gib:.2f}",
        f"checkpoints while it runs {total.checkpoints_gib:.2f}",
    ]
    lines = [
        f"device-hours: {hours[0]} ({hours[1]} to {hours[2]}), on {escape(device)}",
        f"wall-clock:   {wall[0]} ({wall[1]} to {wall[2]}), {places}",
        f"memory:       {total.memory_mib / 1024:.2f} GiB, the largest of a run",
        f"disk:         {disk_gib:.2f} GiB ({', '.join(parts)})",
    ]
    if total.n_unknown:
        lines.append(f"not in it:    {total.n_unknown} runs, whose price is not known")
    return lines
