"""A grid and a search off a terminal: lines, logs, phases; with real training on phantoms."""

import re

import pytest

from bench.cli.app import main
from bench.cost.phases import PHASES
from bench.run.watch.log_file import LOG_FILE
from reports.records.run import read_result

SMALL = [
    *("--methods", "linear,lora", "--backbone", "tiny_vit", "--weights", "none"),
    *("--max-steps", "6", "--set", "train.val_every=1", "--set", "data.patch=4,32,32"),
    *("--jobs", "2", "--device", "cpu"),
]

pytestmark = pytest.mark.slow


@pytest.fixture
def small(tmp_path, monkeypatch, new_store, phantoms) -> list[str]:
    """Arguments of both commands, in a folder with a store."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    return [*SMALL, "--data-root", str(phantoms)]


def test_a_grid_tells_in_lines_and_each_run_has_a_log(small, tmp_path, capfd):
    assert main(["run", *small, "--out", "res", "--verbose"]) == 0
    told = capfd.readouterr().out
    assert all(line.isprintable() for line in told.split("\n"))
    assert len(re.findall(r"^started  .*, log: res/runs/\S+/run\.log$", told, re.M)) == 2
    ends = re.findall(r"^done .* \((\d)/2 runs, ETA of all (\d:\d\d:\d\d|unknown)\)$", told, re.M)
    assert [number for number, _ in ends] == ["1", "2"]
    assert ends[-1][1] == "0:00:00"
    folders = sorted((tmp_path / "res" / "runs").iterdir())
    assert len(folders) == 2
    for folder in folders:
        text = (folder / LOG_FILE).read_text()
        assert text.startswith("--- ")
        assert "INFO bench.run.watch.progress: preparing" in text
        result = read_result(folder)
        assert [each.phase for each in result.cost.phases] == list(PHASES)
        assert not (folder / "attempt").exists()


def test_a_search_tells_in_lines_and_each_trial_has_a_log(small, tmp_path, capfd):
    search = ["--trials", "2", "--trial-epochs", "1", "--verbose", "--out", "res"]
    assert main(["tune", *small, *search, "--methods", "lora"]) == 0
    told = capfd.readouterr().out
    assert all(line.isprintable() for line in told.split("\n"))
    assert re.search(r"^started  lora · brats2020 · trial 1/2, log: res/\S+/run\.log$", told, re.M)
    assert re.search(r"^done .* trial 2/2 .*\(ETA of all 0:00:00\)$", told, re.M)
    assert len(list((tmp_path / "res" / "tuning").glob(f"*/trial-*/{LOG_FILE}"))) == 2
