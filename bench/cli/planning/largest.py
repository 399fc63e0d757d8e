"""The table of the largest patches and batches that fit into a device."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.cli.terminal import add_columns
from bench.grid.bill.largest import Largest, find_largest, list_methods
from bench.grid.plan import Plan
from bench.specs.run import RunSpec
from methods.execution import Execution
from reports.formats.terminal import escape


def print_largest(plan: Plan, execution: Execution, limit: int, console: Console) -> None:
    """Print what fits into ``limit`` bytes, for each method and data set."""
    infos = {source.name: source.dataset.info for source in plan.sources}
    title = f"largest training steps in {limit / 2**30:.1f} GiB, fp32"
    words = ("method", "data", "largest patch")
    table = add_columns(
        Table(title=title), words, ("batch", "GiB", "largest batch", "patch", "GiB")
    )
    for spec in list_methods(plan.runs):
        found = find_largest(spec, infos[spec.dataset], execution, limit)
        table.add_row(escape(spec.method), escape(spec.dataset), *_cells_of(spec, found))
    console.print(table)


def _cells_of(spec: RunSpec, found: Largest) -> list[str]:
    if found.reason:
        return [escape(found.reason), "", "", "", "", ""]
    protocol = spec.own_protocol
    patch = "none" if found.patch is None else _format_patch(found.patch)
    batch = str(found.batch) if found.batch else "none"
    return [
        patch,
        str(protocol.train.batch),
        _format_mib(found.patch_mib),
        batch,
        _format_patch(protocol.data.patch),
        _format_mib(found.batch_mib),
    ]


def _format_patch(patch: Sequence[int]) -> str:
    return "x".join(map(str, patch))


def _format_mib(mib: float | None) -> str:
    return "" if mib is None else f"{mib / 1024:.2f}"
