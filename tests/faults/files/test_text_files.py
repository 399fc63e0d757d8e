"""Text files are UTF-8 in every locale: in the source, and in a run under the C locale."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted(
    file
    for name in ("bench", "methods", "datasets", "reports", "benchmarks", "docs")
    for file in (ROOT / name).rglob("*.py")
)
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
TEXT_CALLS = ("read_text", "write_text")


def find_locale_dependent(source: str) -> list[str]:
    """Return the calls that read or write text in the encoding of the locale."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _depends_on_locale(node):
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


def _depends_on_locale(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    words = {word.arg: word.value for word in call.keywords}
    if "encoding" in words or isinstance(words.get("text"), ast.Constant):
        return "encoding" not in words
    if name in TEXT_CALLS:
        return name != "read_text" or ast.unparse(call.func) != "read_text"
    if name != "open" or ast.unparse(call.func) in ("os.open", "gzip.open"):
        return False
    mode = words.get("mode") or next(iter(call.args[isinstance(call.func, ast.Name) :]), None)
    return mode is None or (isinstance(mode, ast.Constant) and "b" not in str(mode.value))


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_text_file_depends_on_the_locale(file: Path) -> None:
    assert not find_locale_dependent(file.read_text(encoding="utf-8"))


def test_calls_that_depend_on_the_locale_are_found() -> None:
    bad = ["p.read_text()", "p.write_text(t)", "p.open()", "open(p, 'w')", "run(c, text=True)"]
    good = ["p.read_bytes()", "p.open('rb')", "open(p, 'wb')", "p.open('a', encoding='utf-8')"]
    assert [bool(find_locale_dependent(each)) for each in bad + good] == [True] * 5 + [False] * 4


SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
from bench.cli.app import main
from reports.records.run import RunResult, read_result
from tests.bench.tracking.made_runs import make_result, write_runs
out = Path("results")
failed = make_result("lora", status="failed", reason="0.5 ± 0.1, naïve 雪", cases=(), cost=None)
write_runs(out, make_result("linear"), failed, command="bench run --study ±")
assert read_result(out / "runs" / failed.run_id).reason == failed.reason
assert main(["sync"]) == 0
assert main(["report", "--format", "markdown", "--out", "table.md"]) == 0
assert main(["report", "--format", "csv"]) == 0
sys.exit(main(["report"]))
"""


@pytest.mark.slow
def test_a_result_with_other_letters_survives_the_c_locale(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
        | C_LOCALE
        | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert "naïve 雪" in (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "0.5 ± 0.1" in done.stdout.decode()
    (record,) = (tmp_path / "results/commands").glob("*.json")
    assert json.loads(record.read_bytes())["command"] == "bench run --study ±"
