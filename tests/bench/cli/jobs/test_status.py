"""`status` shows every cell that was asked for, and reads files only."""

import json

from bench.cli.app import main
from bench.specs.run import COMMANDS, RUNS


def ask(out, *run_ids):
    folder = out / COMMANDS
    folder.mkdir(parents=True)
    group = {"id": "run-1", "command": "x", "started_at": "", "runs": {"brats": run_ids}}
    (folder / "run-1.json").write_text(json.dumps(group))


def test_every_run_is_listed_and_nothing_is_written(tmp_path, capsys):
    ask(tmp_path, "a", "b")
    (tmp_path / RUNS / "c").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    assert main(["status", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "3 runs: 3 to do" in printed
    assert all(run_id in printed for run_id in "abc")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_without_runs_is_a_sentence(tmp_path, capsys):
    assert main(["status", "--out", str(tmp_path / "none")]) == 2
    assert "must hold the folders of runs, got none" in capsys.readouterr().err
