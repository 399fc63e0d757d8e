"""Names that mean something in one grammar or another, and results and tables that have them."""

from dataclasses import replace
from pathlib import Path

from bench.specs.protocol import Protocol
from bench.specs.run import MethodSpec, RunSpec
from reports.records.cost import Cost
from reports.records.run import CaseScore, RunResult, Status
from reports.tables.table import Cell as TableCell
from reports.tables.table import Column, Table, make_slug

HOSTILE = (
    "GD-enhancing tumor (ET)",
    "[0pt] bracket",
    "*star",
    "a\n\\input{/etc/passwd}\n",
    "--->",
    "--!>",
    "<!--<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "=HYPERLINK(1)",
    "@SUM(1)",
    "\x1b]0;title\x07\x1b[31mred",
    'it\'s "quoted"; drop',
    "../../../../x",
    "a/b",
    ".",
    "",
    "100 % of $x$ & #1 ~ ^ _ \\",
    "`code` | pipe",
    "\u202eright to left",
    "雪" * 120,
)


REGIONS = tuple(filter(None, HOSTILE))


def make_result(number: int, name: str, **changes: object) -> RunResult:
    spec = RunSpec(MethodSpec("lora"), "brats", "f00", 0, number, Protocol(), Path("/data"))
    cases = []
    for case in ("p1", "<!--<script>\n"):
        for region in REGIONS:
            cases.append(CaseScore(case, region, 0.5 + number / 200, 2.0, 10, 9))
    result = RunResult(
        run_id=f"{spec.run_id}{name}", status=Status.DONE, reason="", method="lora",
        settings={"rank": number}, label=name or "empty", dataset="brats", backbone="tiny_vit",
        weights="none", fold=0, seed=0, protocol_id="abc", protocol={"data": {}}, synthetic=True,
        regions=REGIONS, cases=tuple(cases), cost=Cost(1000, 20, 300, 0.02, 12.5, 2.5, 512.0),
        provenance={"started_at": f"2025-06-01T12:00:{number:02}+00:00"},
    )  # fmt: skip
    return replace(result, **changes)


def build_table(name: str) -> Table:
    cells = (TableCell(name), TableCell("linear"))
    numbers = (TableCell("1.0", 1.0), TableCell("-2.0", -2.0))
    columns = (
        Column("method", ("", name), cells, words=True),
        Column(f"{name}:dice", ("Dice", name), numbers),
    )
    return Table("main", make_slug("main", name), name, columns, (name,), (name,), (name,))
