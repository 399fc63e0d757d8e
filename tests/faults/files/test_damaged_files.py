"""What a power cut leaves: empty and cut files are named with the way out, or done without."""

from pathlib import Path

import numpy as np
import pytest

from bench.cli.app import main
from bench.cost.usage import USAGE_FILE, read_usage
from bench.grid.attempt import begin_attempt, end_attempt
from bench.run.firewall import SELECTION_FILE, count_reads, read_selection
from bench.specs.protocol import Protocol
from bench.specs.run import MethodSpec, RunSpec
from bench.tracking.groups import begin_group, read_group
from datasets.files import FileError
from reports.records.run import RESULT_FILE, read_result
from reports.records.slices import CaseSlices, read_slices, write_slices
from reports.records.study import read_study
from tests.faults.values.hostile_names import make_result

SPEC = RunSpec(MethodSpec("lora"), "brats", "f00", 0, 0, Protocol(), Path("/data"))


def test_an_empty_record_of_a_command_is_written_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    group = begin_group([SPEC], "run", tmp_path)
    file = tmp_path / "commands" / f"{group.id}.json"
    file.write_bytes(b"")
    assert begin_group([SPEC], "run", tmp_path).id == group.id
    assert str(file) in caplog.text
    assert read_group(tmp_path, group.id) is not None


def test_sync_sends_what_it_can_and_names_the_rest(
    tmp_path: Path, monkeypatch, new_store, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path / "store"))
    out = tmp_path / "results"
    group = begin_group([SPEC], "run", out)
    for number in range(3):
        make_result(number, f"m{number}", group=group.id).write(out / "runs" / str(number))
    (out / "commands" / f"{group.id}.json").write_bytes(b"")
    (out / "runs" / "1" / RESULT_FILE).write_bytes(b"")
    (out / "runs" / "2" / USAGE_FILE).write_text("at_ms,cpu_percent\n1700000000000,9.5\n17000,")
    (out / "tuning" / "s").mkdir(parents=True)
    (out / "tuning" / "s" / "study.json").write_bytes(b"")
    assert main(["sync", "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert "sent 2 of 3 results" in printed
    problems = [line for line in printed.splitlines() if line.startswith("problem:")]
    assert len(problems) == 3
    assert f"{group.id}.json" in printed
    assert "give the same command again" in printed
    assert "repeat the run with --force" in printed
    assert "`python -m bench tune` writes it again" in printed


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 99_999, b"null"])
def test_records_of_runs_are_named(content: bytes, tmp_path: Path) -> None:
    for name, read in (
        (RESULT_FILE, lambda: read_result(tmp_path)),
        (SELECTION_FILE, lambda: read_selection(tmp_path)),
        ("study.json", lambda: read_study(tmp_path / "study.json")),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileError, match=rf"^{tmp_path / name}: .*\(.*damaged"):
            read()


def test_a_damaged_result_gives_way_to_a_new_one(tmp_path: Path) -> None:
    for content in (b"", b"[" * 99_999, b"\xff"):
        (tmp_path / RESULT_FILE).write_bytes(content)
        attempt = begin_attempt(tmp_path)
        make_result(0, "lora").write(attempt)
        end_attempt(tmp_path)
        found = read_result(tmp_path)
        assert found is not None
        assert found.label == "lora"


def test_samples_that_are_cut_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / USAGE_FILE
    file.write_text("at_ms,cpu_percent,memory_mib\n1700000000000,98.5,512.0\n1700000001000,9")
    assert read_usage(tmp_path) == [(1700000000000, {"cpu_percent": 98.5, "memory_mib": 512.0})]
    for content in (b"", b"\xff\x00", b"at_ms\ninf\n", b"at_ms\n1e999\n-5\n"):
        file.write_bytes(content)
        assert read_usage(tmp_path) == []


def test_pictures_are_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "slices.npz"
    slab = np.zeros((1, 4, 4), dtype=np.uint8)
    write_slices(file, {"c": CaseSlices(np.array([0]), slab, slab, slab)})
    whole = file.read_bytes()
    assert read_slices(file, "c") is not None
    for content in (b"", whole[:100], whole[:-50], b"no zip"):
        file.write_bytes(content)
        assert read_slices(file, "c") is None
        assert str(file) in caplog.text


def test_reads_are_counted_in_any_bytes(tmp_path: Path) -> None:
    (tmp_path / "test_reads.jsonl").write_bytes(b"{}\n\xff\xfe\n{")
    assert count_reads(tmp_path) == 3
