"""Frames, tables and pictures of results, as Python gets them."""

from dataclasses import replace

import pytest

import medtuning_bench as mb
from reports.records.run import Status
from tests.reports.made_results import make_result

LABELS = ["full", "linear", "lora", "adaptformer"]


@pytest.fixture(scope="module")
def results() -> mb.Results:
    runs = [make_result(name, fold=fold) for name in LABELS for fold in (0, 1)]
    last = runs[-1]
    failed = replace(
        last, run_id="broken", status=Status.FAILED, reason="it broke", cases=(), cost=None
    )
    return mb.Results((*runs, failed))


def test_a_row_for_each_run_and_for_each_score(results):
    runs = results.runs
    assert list(runs["status"]) == ["done"] * 8 + ["failed"]
    assert runs["reason"].iloc[-1] == "it broke"
    assert runs["dice"].iloc[:8].between(0.4, 0.9).all()
    assert runs[["dice", "hd95_mm", "tuned_m"]].iloc[-1].isna().all()
    assert runs.set_index("label")["tuned_m"]["lora"].iloc[0] == pytest.approx(0.024576)
    first = results.cases[results.cases["run_id"] == runs["run_id"][0]]
    assert len(results.cases) == 8 * 10 * 3
    assert first["dice"].mean() == pytest.approx(runs["dice"][0])
    assert repr(results) == "Results(9 runs: 8 done, 1 failed)"


def test_tables_are_frames_and_texts(results):
    done = mb.Results(results.records[:8])
    assert list(done.table().index) == ["full", "linear", "lora", "adaptformer"]
    assert r"\toprule" in done.text("latex")
    assert "| LoRA" in done.text()
    assert "tuned_m" in done.table("efficiency").columns


def test_methods_are_compared_with_a_reference(results):
    compared = mb.Results(results.records[:8]).compare("linear").set_index("method")
    assert set(compared.index) == {"full", "lora", "adaptformer"}
    row = compared.loc["full"]
    assert row["low"] < row["difference"] < row["high"]
    assert row["difference"] == pytest.approx(0.06, abs=0.02)
    assert row["p_corrected"] < 0.05


def test_pictures_are_figures(results):
    done = mb.Results(results.records[:8])
    for kind in ("parameters", "cases", "ranks"):
        assert done.plot(kind).axes


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda found: found.table("mian"), "unknown kind 'mian' .did you mean 'main'"),
        (lambda found: found.text("pdf"), "format must be one of latex, markdown, csv, got 'pdf'"),
        (lambda found: found.plot("parameter"), "did you mean 'parameters'"),
        (lambda found: found.compare("lroa"), "must be one of full, .* got 'lroa'"),
        (lambda found: mb.load("nowhere"), "must be a folder with runs/.* got nowhere"),
        (lambda found: mb.load("sqlite:///nowhere.db"), "there is no MLflow store .*nowhere.db"),
    ],
)
def test_bad_input_is_one_sentence(results, tmp_path, monkeypatch, ask, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        ask(mb.Results(results.records[:8]))
    assert not list(tmp_path.iterdir())


def test_a_folder_of_runs_is_read(results, tmp_path):
    for run in results.records[:2]:
        folder = tmp_path / "runs" / run.run_id
        folder.mkdir(parents=True)
        run.write(folder)
    found = mb.load(tmp_path)
    assert sorted(run.run_id for run in found.records) == sorted(
        run.run_id for run in results.records[:2]
    )
    assert len(mb.load(folder)) == 1
