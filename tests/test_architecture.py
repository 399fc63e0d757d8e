"""Which room may import which: the way of the data never turns back."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("bench", "methods", "datasets", "reports")
ROOMS = {  # each may import itself as well; a name stands for everything below it
    "methods": "",
    "datasets.base": "",
    "datasets.volumes": "datasets.base",
    "datasets.prepared": "datasets.base datasets.volumes",
    "datasets.splits": "datasets.base",
    "datasets.layouts": "datasets.base",
    "datasets": "datasets",
    "reports.records": "",
    "reports.analysis": "reports.records",
    "reports.tables": "reports.records reports.analysis",
    "reports.formats": "reports.tables",
    "reports.figures": "reports.records reports.analysis reports.tables",
    "reports.page": "reports",
    "reports": "",
    "bench.specs": "methods reports.records",
    "bench.models": "methods",
    "bench.scoring": "bench.specs datasets reports.records reports.figures.overlay",
    "bench.cost": "bench.models methods reports.records",
    "bench.run.training": "bench.specs bench.models bench.cost reports.records",
    "bench.run": "bench.specs bench.models bench.scoring bench.cost datasets methods reports.records",
    "bench.pretrain": "bench.specs bench.models bench.run.training",
    "bench.grid": "bench.specs bench.models bench.cost bench.run datasets methods reports.records",
    "bench.tuning": "bench.specs bench.cost bench.run bench.grid methods reports.records",
    "bench.tracking": "bench.specs bench.cost.usage reports.records reports.analysis reports.tables reports.formats",
    "bench.cli": "bench.specs bench.models bench.scoring bench.cost bench.run bench.pretrain bench.grid bench.tuning"
    " bench.tracking datasets methods reports",
    "bench.__main__": "bench.cli",
    "bench": "",
}
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for name in OURS
    for file in sorted((ROOT / name).rglob("*.py"))
}


def imports_of(file: Path) -> set[str]:
    """Return our modules that a file imports, anywhere in it, or names in a string as "module:attribute"."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & FILES.keys()) or {node.module}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= (
                {node.value.partition(":")[0]}
                if re.fullmatch(r"\w+(\.\w+)+(:\w+)?", node.value)
                else set()
            )
    return found & FILES.keys()


GRAPH = {name: imports_of(file) - {name} for name, file in FILES.items()}


def room_of(module: str) -> str:
    return next(room for room in ROOMS if f"{module}.".startswith(f"{room}."))


def test_files_do_not_import_each_other_in_a_circle():
    assert len(list(TopologicalSorter(GRAPH).static_order())) == len(FILES) > 200


@pytest.mark.parametrize("module", GRAPH)
def test_a_room_imports_only_what_the_table_allows(module):
    room = room_of(module)
    allowed = (room, *ROOMS[room].split())
    assert {
        name
        for name in GRAPH[module]
        if not any(f"{name}.".startswith(f"{each}.") for each in allowed)
    } == set()
