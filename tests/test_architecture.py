"""Who may import whom: the way of the data never turns back."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("bench", "methods", "datasets", "reports")
FILES = sorted(file for name in OURS for file in (ROOT / name).rglob("*.py"))

# From the lowest room to the highest; a module may import from its own room and from those below it.
ROOMS = [
    {
        "bench",
        "bench.children",
        "bench.durable",
        "bench.protocol",
        "bench.results",
        "bench.slices",
        "bench.spec",
        "bench.study_record",
        "methods",
        "datasets",
        "reports",
    },
    {"bench.surfels", "bench.policies"},
    {"bench.surfaces"},
    {
        "bench.models",
        "bench.firewall",
        "bench.metrics",
        "bench.presets",
        "bench.request",
    },
    {
        "bench.training",
        "bench.evaluation",
        "bench.postprocessing",
        "bench.cost",
        "bench.flops",
        "bench.mac_rules",
        "bench.memory",
        "bench.timing",
        "bench.traced_flops",
        "bench.entries",
        "bench.groups",
        "bench.local_store",
        "bench.parents",
        "bench.tracking",
        "bench.usage",
        "bench.provenance",
        "bench.grid",
        "bench.sources",
        "bench.search",
        "bench.study",
        "bench.study_log",
        "bench.study_pictures",
        "bench.tuning",
    },
    {"bench.pretrain", "bench.delta_file", "bench.fold", "bench.label_files", "bench.network", "bench.scoring"},
    {"bench.restore"},
    {"bench.trial", "bench.inventory", "bench.battery", "bench.feasibility"},
    {"bench.attempt", "bench.estimate"},
    {"bench.inner", "bench.runner"},
    {"bench.campaign", "bench.tuned"},
    {
        "bench.check",
        "bench.experiment",
        "bench.predict",
        "bench.reporting",
        "bench.display",
        "bench.publishing",
        "bench.listing",
        "bench.guide",
    },
    {"bench.comparing", "bench.portfolio", "bench.pretrain_command", "bench.score_command", "bench.study_display"},
    {"bench.commands", "bench.data_commands"},
    {"bench.tune_commands"},
    {"bench.cli_data", "bench.cli_pretrain", "bench.cli_report", "bench.cli_run", "bench.cli_score", "bench.cli_show"},
    {"bench.cli"},
    {"bench.__main__"},
]
ALLOWED = {
    "methods": ("methods",),
    "datasets": ("datasets",),
    "reports": ("reports", "bench.results", "bench.slices", "bench.study_record"),
    "bench.results": ("bench.durable",),
    "bench.spec": ("bench.protocol",),
    "bench.models": (
        "bench.models",
        "methods.base",
        "methods.execution",
        "methods.settings",
        "methods.sites",
        "methods.surgery",
    ),
}
FORBIDDEN = {"bench.training": ("datasets", "methods"), "bench.protocol": OURS}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path) -> set[str]:
    """Return our own modules that a file imports, at its top or inside a function."""
    known = {module_name(each) for each in FILES}
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & known) or {node.module}
    return {name for name in found if name.split(".")[0] in OURS}


GRAPH = {module_name(file): imports_of(file) for file in FILES}


def room_of(module: str) -> int:
    for height, room in enumerate(ROOMS):
        if module in room or ".".join(module.split(".")[:2]) in room or module.split(".")[0] in room - {"bench"}:
            return height
    raise AssertionError(f"{module} has no room: put it into ROOMS")


def starts_with(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes)


def test_there_is_no_import_cycle():
    order = list(TopologicalSorter(GRAPH).static_order())
    assert len(order) >= len(FILES) > 20


@pytest.mark.parametrize("module", GRAPH)
def test_imports_go_downwards(module):
    upward = {name for name in GRAPH[module] if room_of(name) > room_of(module)}
    assert not upward


@pytest.mark.parametrize("module", GRAPH)
def test_closed_rooms_stay_closed(module):
    for room, allowed in ALLOWED.items():
        if starts_with(module, (room,)):
            assert {name for name in GRAPH[module] if not starts_with(name, allowed)} == set()
    for room, forbidden in FORBIDDEN.items():
        if starts_with(module, (room,)):
            assert {name for name in GRAPH[module] if starts_with(name, forbidden)} == set()


def test_importing_prints_and_writes_nothing(tmp_path):
    names = [name for name in GRAPH if not name.endswith("__main__")]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfor name in {names!r}: __import__(name)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
