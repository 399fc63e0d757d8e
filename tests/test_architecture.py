"""Which room may import which: the way of the data never turns back."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# A room, what it may import besides itself. A name stands for all below it; deeper rows come first.
# What all rooms may use of files and processes; these import nothing else of ours.
SYSTEM = {"datasets.files", "datasets.fork_server", "datasets.locks", "datasets.processes"}
TABLE = """\
datasets.grouping
datasets.base datasets.grouping
datasets.volumes datasets.base
datasets.prepared datasets.base datasets.volumes
datasets.splits datasets.base
datasets.layouts datasets.base
datasets.nnunet datasets.base datasets.layouts datasets.volumes datasets.splits
datasets.phantoms datasets
datasets.single_case datasets
datasets.many_cases datasets
datasets.overlaps
datasets datasets.base datasets.layouts datasets.nnunet datasets.prepared datasets.volumes
methods
reports.records
reports.names
reports.analysis reports.names reports.records
reports.tables reports.names reports.records reports.analysis
reports.formats reports.records reports.tables
reports.figures reports.names reports.records reports.analysis reports.tables
reports.page reports
bench.specs datasets methods reports.records bench.models.references.registry
bench.models methods
bench.cost bench.models methods reports.records
bench.scoring bench.specs datasets reports.records reports.figures.overlay
bench.run.training bench.specs bench.models bench.cost reports.records
bench.run bench.specs bench.models bench.scoring bench.cost datasets methods reports.records
bench.prediction bench.specs bench.scoring bench.cost bench.run datasets reports.records
bench.pretrain methods.settings bench.specs bench.models bench.run.training
bench.grid bench.specs bench.models bench.cost bench.run datasets methods reports.records
bench.tuning bench.specs bench.models bench.cost bench.run bench.grid methods reports.records
bench.tracking bench.specs bench.cost.usage reports.records reports.analysis reports.tables
bench.tracking reports.formats reports.names
bench.cli bench datasets methods reports
bench.__main__ medtuning_bench
medtuning_bench bench datasets methods reports"""
ROOMS: dict[str, set[str]] = {}
for row in TABLE.splitlines():
    ROOMS.setdefault(row.split()[0], set()).update(row.split())
FILES = {}
for name in ("bench", "methods", "datasets", "reports", "medtuning_bench"):
    for file in (ROOT / name).rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        FILES[".".join(parts).removesuffix(".__init__")] = file


def imports_of(file: Path) -> set[str]:
    """Return our modules that a file imports anywhere, or names in a string."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & FILES.keys()) or {node.module}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(re.findall(r"^(\w+(?:\.\w+)+)(?::\w+)?$", node.value))
    return found & FILES.keys()


GRAPH = {name: imports_of(file) - {name} for name, file in FILES.items()}


def is_in(module: str, rooms: set[str]) -> bool:
    return any(f"{module}.".startswith(f"{room}.") for room in rooms)


def test_files_do_not_import_each_other_in_a_circle():
    assert len(list(TopologicalSorter(GRAPH).static_order())) == len(FILES) > 150


@pytest.mark.parametrize("module", sorted(GRAPH))
def test_a_room_imports_only_what_the_table_allows(module):
    allowed = next((row for room, row in ROOMS.items() if is_in(module, {room})), set())
    allowed = SYSTEM if module in SYSTEM else allowed | SYSTEM
    assert not {name for name in GRAPH[module] if not is_in(name, allowed)}
