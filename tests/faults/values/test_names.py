"""Names from elsewhere in every grammar that they enter: each has one door, and comes out whole."""

import csv
import json
import re
import sqlite3
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.cli.app import main
from bench.tracking.keys import LONGEST_KEY, key_of, parts_of
from bench.tracking.publishing import sync
from bench.tracking.store import open_store
from bench.tuning.tuned_values import TunedValues, read_toml, write_toml
from reports.formats import latex, markdown, spreadsheet
from reports.formats.macros import format_macros
from reports.formats.terminal import SafeConsole, escape
from reports.formats.tex import signs
from reports.records.study import Cell
from reports.records.text import mask_passwords, one_line
from reports.tables.table import Cell as TableCell
from reports.tables.table import Column, Table
from tests.faults.values.hostile_names import HOSTILE, build_table, make_result


@pytest.mark.parametrize("name", HOSTILE)
def test_keys_of_metrics_are_taken_and_come_back(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    key = key_of("dice", name)
    _validate_metric_name(key)
    assert len(key) == LONGEST_KEY or parts_of(key) == ("dice", name)


def test_usual_keys_stay_as_they_are_and_no_two_names_share_one() -> None:
    usual = ["WT", "kidney_and_masses", "tumour core", "a-b.c"]
    assert [key_of("dice", name) for name in usual] == [f"dice/{name}" for name in usual]
    names = [*HOSTILE, ":", ":28", "(", "..", "...", ".:2e", "x" * 400, "x" * 401]
    assert len({key_of("dice", name) for name in names}) == len(names)


def test_every_result_is_sent_found_again_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], new_store
) -> None:
    uri = new_store(tmp_path / "store")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    out = tmp_path / "results"
    results = [make_result(number, name) for number, name in enumerate(HOSTILE)]
    results.append(make_result(50, "outside", dataset="../../../../x"))
    results.append(make_result(51, "broken clock", provenance={"started_at": 5, "wall_s": "x"}))
    for number, result in enumerate(results):
        result.write(out / "runs" / f"{number:02}")
    tally = sync(open_store(uri), out)
    assert tally.problems == ()
    assert len(tally.sent) == len(results)
    assert sync(open_store(uri), out).sent == ()  # each is found again
    loaded = {result.run_id for result in open_store(uri).load_results()}
    assert loaded == {result.run_id for result in results}
    inside = (tmp_path / "store").resolve()
    for (place,) in sqlite3.connect(inside / "mlflow.db").execute(
        "select artifact_location from experiments where name != 'Default'"
    ):
        assert Path(place.removeprefix("file://")).resolve().is_relative_to(inside / "mlruns")
    for form in ("markdown", "latex", "csv", "terminal"):
        assert main(["report", "--format", form, "--dataset", "brats"]) == 0
        printed = capsys.readouterr().out
        assert "\x1b]" not in printed
        assert "\u202e" not in printed


def test_one_result_that_cannot_be_sent_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_store
) -> None:
    store = open_store(new_store(tmp_path))
    for number in range(3):
        make_result(number, f"m{number}").write(tmp_path / "results" / "runs" / str(number))
    log_batch = store.client.log_batch

    def refuse(run_id: str, *arguments: object, **options: object) -> None:
        if store.client.get_run(run_id).data.tags["label"] == "m1":
            raise OSError(28, "No space left on device")
        log_batch(run_id, *arguments, **options)

    monkeypatch.setattr(store.client, "log_batch", refuse)
    tally = sync(store, tmp_path / "results")
    assert len(tally.sent) == 2
    (problem,) = tally.problems
    assert "m1 cannot be sent: store" in problem


@pytest.mark.parametrize("name", HOSTILE)
def test_latex_has_no_live_command_and_no_second_line(name: str) -> None:
    usual, lines = (
        [line for line in latex.format_latex(build_table(each)).splitlines() if line[0] != "%"]
        for each in ("lora", name)
    )
    assert len(lines) == len(usual)
    assert not [line for line in lines if "\\input" in line.partition("%")[0]]
    rows = [line.strip() for line in lines if line.endswith(r"\\")]
    assert not [row for row in rows if row.startswith(("[", "*"))]


def test_latex_keeps_what_is_usual() -> None:
    assert signs.escape("lora[rank=4]") == "lora[rank=4]"
    assert signs.escape("a--b") == "a-{}-b"
    assert signs.escape("[x") == "{[}x"


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_keeps_its_rows_and_its_comment(name: str) -> None:
    usual = markdown.format_markdown(build_table("lora"))
    text = markdown.format_markdown(build_table(name))
    assert len(text.splitlines()) == len(usual.splitlines())
    comment = text[text.index("<!--") + 4 : text.rindex("-->")]
    assert "-->" not in comment
    assert "--!>" not in comment
    plain = re.sub(r"\\[!-/:-@\[-`{-~]", "", text[: text.index("<!--")])
    assert not re.search(r"<(?!/?u>)", plain)


def test_code_in_markdown_may_hold_backticks() -> None:
    assert markdown.as_code("a `b` c") == "``a `b` c``"
    assert markdown.as_code("`") == "`` ` ``"


@pytest.mark.parametrize("name", HOSTILE)
def test_cells_of_csv_are_no_formulas(name: str) -> None:
    rows = list(csv.reader(StringIO(spreadsheet.format_csv(build_table(name)))))
    assert len(rows) == 3
    for cell in [*rows[0], rows[1][0]]:
        assert not cell.startswith(("=", "+", "-", "@"))
    assert rows[2][1] == "-2"  # a number is no text


class Scripts(HTMLParser):
    """Collects the scripts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.inside = tag == "script"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found.append(data)
            self.inside = False


def test_the_page_holds_names_as_data(tmp_path: Path, monkeypatch, new_store) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    for number, name in enumerate(HOSTILE[:8]):
        make_result(number, name).write(tmp_path / "results" / "runs" / str(number))
    sync(open_store(), tmp_path / "results")
    page = tmp_path / "page.html"
    assert main(["report", "--format", "html", "--out", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    scripts = Scripts()
    scripts.feed(text)
    assert len(scripts.found) == 2
    assert "<" not in scripts.found[0]
    assert set(json.loads(scripts.found[0])[0]["methods"]) >= set(HOSTILE[:8])


@pytest.mark.parametrize("name", HOSTILE)
def test_a_console_is_not_controlled(name: str) -> None:
    stream = StringIO()
    console = SafeConsole(file=stream, force_terminal=True, width=4000, color_system=None)
    console.print(name, markup=False)
    console.print(f"[bold]{escape(name)}[/]", highlight=False)
    assert not re.search(r"\x1b(?!\[[0-9;]*m)|[\x07\u202e]", stream.getvalue())
    assert "\x1b[31m" not in stream.getvalue()
    plain = Console(file=StringIO()).render_str(f"[bold]{escape(name)}[/]").plain
    assert one_line(plain) == one_line(name)


def test_values_in_toml_come_back(tmp_path: Path) -> None:
    cell = Cell("own[größe=1]", "brats", "tiny_vit", "", 0, 0)
    values = {"method.größe": "😀 \x7f \n '\"", "train.lr": 1e-3}
    tuned = TunedValues(cell, "study#1", values, {"trials": 2})
    write_toml(tmp_path / "values.toml", [tuned])
    assert read_toml(tmp_path / "values.toml") == [tuned]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://user:s3cret@host:5000", "http://user:***@host:5000"),
        ("postgresql+psycopg2://u:s3c/r@t@host/db", "postgresql+psycopg2://u:***@host/db"),
        ("mysql://u@host/db?password=s3cret&x=1", "mysql://u@host/db?password=***&x=1"),
        ("https://host/?token=s3cret", "https://host/?token=***"),
        ("sqlite:////tmp/a@b.db", "sqlite:////tmp/a@b.db"),
    ],
)
def test_passwords_are_masked(address: str, shown: str) -> None:
    assert mask_passwords(f"store {address} is away") == f"store {shown} is away"


def test_macros_of_names_without_latin_letters_are_kept_apart() -> None:
    columns = (
        Column("method", ("method",), (TableCell("α"), TableCell("β")), words=True),
        Column("dice", ("Dice",), (TableCell("1.0", 1.0), TableCell("2.0", 2.0))),
    )
    lines = format_macros([Table("main", "main", "", columns, ())]).splitlines()[1:]
    commands = {re.fullmatch(r"\\newcommand\{\\([A-Za-z]+)\}\{[\d.]+\}", line)[1] for line in lines}
    assert len(commands) == 2
