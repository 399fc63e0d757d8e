"""The report's files from a store: all in one go, or nothing at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.cli.app import main
from bench.tracking.store import open_store
from reports.records.run import RunResult
from reports.records.slices import SLICES_FILE, cut_slices, write_slices
from tests.reports.made_results import make_result

RUNS = [make_result(method, fold=0) for method in ("lora", "linear")]
Fill = Callable[[list[RunResult]], None]


@pytest.fixture
def fill(
    tmp_path: Path, new_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Fill]:
    """Put results into a store, each with the same slices for all its cases."""
    uri = new_store(tmp_path / "store")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)

    def put(results: list[RunResult]) -> None:
        store = open_store(uri)
        folder = tmp_path / "store" / "run"
        folder.mkdir()
        reference = np.zeros((9, 32, 32), np.uint8)
        reference[2:7, 8:20, 8:20] = 1
        for number, result in enumerate(results):
            prediction = np.roll(reference, number, axis=1)
            slices = cut_slices(reference.astype(np.float32), reference, prediction, 1)
            write_slices(folder / SLICES_FILE, {row.case: slices for row in result.cases})
            store.log_result(result, folder)

    yield put
    assert {file.name for file in tmp_path.iterdir()} <= {"store", "report", "page.html", "main.md"}


def with_other_cases(run: RunResult) -> RunResult:
    return replace(run, cases=run.cases[3:])


def with_other_protocol(run: RunResult) -> RunResult:
    return replace(run, protocol_id="other", protocol={"train": {"lr": 1.0}})


def with_bad_score(run: RunResult) -> RunResult:
    return replace(run, cases=(replace(run.cases[0], dice=1.5), *run.cases[1:]))


OTHER_PROTOCOL, OTHER_CASES, BAD_SCORE = (
    change(RUNS[1]) for change in (with_other_protocol, with_other_cases, with_bad_score)
)
NOT_EQUAL = (
    "must have the same cases, got lora and others that differ in brats_0_00 (--intersection"
)


@pytest.mark.parametrize(
    "out", ["--figures --out report", "--format html --out page.html", "--out main.md"]
)
@pytest.mark.parametrize(
    ("results", "more", "sentence"),
    [
        ([], "", "the tracking store holds no result yet"),
        (RUNS, "--dataset kitz", "--dataset must be among brats, got 'kitz'"),
        (RUNS[:1], "--versus lora", "must have two methods, got lora"),
        (
            [RUNS[0], OTHER_PROTOCOL],
            "",
            "must have one protocol, got 2 (other, brtinoall) that differ in train.lr",
        ),
        ([RUNS[0], OTHER_CASES], "", NOT_EQUAL),
        ([RUNS[0], BAD_SCORE], "", "dice of case brats_0_00, region WT"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_no_file(
    results: list[RunResult],
    more: str,
    sentence: str,
    out: str,
    fill: Fill,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "--versus" in more:
        out = "--out main.md"  # a page of one method is made, and says why it has no comparison
    fill(results)
    assert main(["report", *more.split(), *out.split()]) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert {file.name for file in tmp_path.iterdir()} == {"store"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--figures"], "--figures must have --out FOLDER, in a folder that exists, got none"),
        (["--figures", "--out", "no/such/report"], "got no/such/report"),
        (
            ["--figures", "--out", "x", "--format", "latex"],
            "--figures writes every kind in every format",
        ),
        (["--format", "html", "--macros"], "--macros are LaTeX"),
        (["--caption", "x"], "--caption is for --format latex, got another output"),
        (["--venue", "lncs"], "--venue is for --format latex and --figures, got neither"),
        (["--format", "latex", "--label", "a}b"], "--label must be of letters, digits and"),
        (["--name", "lora"], "--name: must look like --name lora=LoRA, got 'lora'"),
        (["--name", "lora=A", "--name", "lora=B"], "--name: must give lora once, got it twice"),
        (["--group", "A=lora", "--group", "A=full"], "--group: must give A once, got it twice"),
        (["--names", "store"], "--names: must be a TOML file, got store, which is a folder"),
        (["--reference", "store"], "--reference: must be a CSV file, got store, which is a folder"),
        (["--names", "no.toml"], "--names: must be a TOML file, got no.toml"),
        (["--margin", "0", "--kind", "noninferiority"], "--margin must be a number above 0, got 0"),
        (["--margin", "nan", "--kind", "all"], "--margin must be a number above 0, got nan"),
        (["--margin", "2"], "--margin is for noninferiority, got another kind"),
        (["--intervals", "--kind", "efficiency"], "--intervals is for the main table"),
        (["--intervals", "--versus", "full"], "--intervals is for the main table"),
        (["--case-scores", "--kind", "main"], "--case-scores writes one CSV"),
        (["--out", "store"], "got store, which is a folder (--figures fills one)"),
        (
            ["--format", "html", "--out", "no/page.html"],
            "got no/page.html, but there is no folder no",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(
    arguments: list[str], sentence: str, fill: Fill, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_names_and_latex_of_a_venue(
    fill: Fill, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill([*RUNS, make_result("lora", dataset="kits")])
    (tmp_path / "store" / "names.toml").write_text('lora = "From file"\nWT = "Whole"\n')
    names = ["--names", "store/names.toml", "--name", "lora=Ours", "--name", "tiny_vit=Tiny"]
    assert main(["report", "--format", "markdown", *names]) == 0
    shown = capsys.readouterr().out
    assert "| Ours |" in shown
    assert "Dice (%) Whole" in shown
    assert "backbone Tiny," in shown
    (tmp_path / "store" / "deep.toml").write_text(f"lora = {'[' * 5000}")
    assert main(["report", "--names", "store/deep.toml"]) == 2
    assert "--names: store/deep.toml must be TOML, got" in capsys.readouterr().err
    assert main(["report", "--name", "lroa=Ours"]) == 2
    assert "nothing is called 'lroa' (did you mean 'lora'?)" in capsys.readouterr().err

    latex = ["report", "--format", "latex", "--venue", "lncs"]
    one = ["--caption", "Mine", "--label", "tab:mine"]
    assert main([*latex, *one, "--per-dataset"]) == 2
    assert "--caption and --label are of one table, got main-" in capsys.readouterr().err
    assert main([*latex, *one, "--dataset", "brats", "--out", "main.md"]) == 0
    assert "too wide for lncs, so turned." in capsys.readouterr().err
    text = (tmp_path / "main.md").read_text()
    assert r"\caption{Mine SYNTHETIC phantoms, not patient data.}" in text
    notes = (tmp_path / "main-notes.tex").read_text()
    assert "Parameters in millions" in notes.replace(r"\hspace{0pt}", "")
    (tmp_path / "main-notes.tex").unlink()
    assert main(latex) == 0
    assert r"\input it where there is room" in capsys.readouterr().out


def test_case_scores_are_one_csv_of_one_setting(
    fill: Fill, capsys: pytest.CaptureFixture[str]
) -> None:
    fill([*RUNS, make_result("lora", dataset="kits")])
    assert main(["report", "--case-scores"]) == 2
    assert "--case-scores must be of one setting, got" in capsys.readouterr().err
    assert main(["report", "--case-scores", "--dataset", "brats"]) == 0
    lines = capsys.readouterr().out.split()
    assert lines[0] == "case,linear,lora"
    assert len(lines) == 1 + len({row.case for row in RUNS[0].cases})


def test_everything_lies_in_the_folder_under_predictable_names(fill: Fill, tmp_path: Path) -> None:
    fill(RUNS)
    assert main(["report", "--figures", "--out", "report"]) == 0
    found = {
        file.relative_to(tmp_path / "report").as_posix()
        for file in (tmp_path / "report").rglob("*.*")
    }
    setting = "brats-tiny-vit-none"
    pictures = (
        "dice-parameters",
        "dice-flops",
        "dice-memory",
        "dice-time",
        "cases",
        "ranks",
        "learning",
        "panels-worst",
    )
    tables = ("main", "efficiency", "comparison")
    assert found >= {
        f"figures/{name}-{setting}.{suffix}" for name in pictures for suffix in ("pdf", "png")
    }
    assert found >= {
        f"tables/{name}-{setting}.{suffix}" for name in tables for suffix in ("tex", "md", "csv")
    }
    assert found >= {"index.html", "macros.tex", f"cases/dice-{setting}.csv"}
    assert not [name for name in found if ".partial" in name]
    page = (tmp_path / "report" / "index.html").read_text()
    for run in RUNS:
        assert f'id="run-{run.run_id}"' in page
    assert "SYNTHETIC" in page
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", page))
    assert {address.split("/")[2] for address in addresses} <= {
        "www.w3.org",
        "purl.org",
        "creativecommons.org",
        "matplotlib.org",
    }
    assert not re.search(r"(src|href)=\"(?!#|data:)", page.replace("xlink:href", "href"))


def test_compare_prints_fields_and_cases(
    fill: Fill, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    fill(RUNS)
    assert main(["compare", "linear", "lora"]) == 0
    printed = capsys.readouterr().out
    for words in (
        "SYNTHETIC",
        "protocol: the same",
        "method",
        "B - A [95 % CI]",
        "brats_0_09",
        "WT",
    ):
        assert words in printed
    assert main(["compare", "linear", "linear"]) == 2
    assert "the two runs must not be the same" in capsys.readouterr().err
