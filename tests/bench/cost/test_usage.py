"""The series of a run's use of the machine."""

import threading
import time
from pathlib import Path

import pytest

from bench.cost import usage
from bench.cost.usage import USAGE_FILE, mean_gpu_busy, read_usage, record_usage


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_busy_run_uses_a_core_and_memory(tmp_path: Path) -> None:
    before = time.time() * 1000
    with record_usage(tmp_path, "cpu", interval_s=0.05):
        spin(0.5)
    samples = read_usage(tmp_path)
    assert len(samples) >= 3
    times = [at_ms for at_ms, _ in samples]
    assert before - 1 <= times[0] < times[-1] <= time.time() * 1000
    assert times == sorted(times)
    assert {name for _, sample in samples for name in sample} == {"cpu_percent", "memory_mib"}
    assert (
        max(sample["cpu_percent"] for _, sample in samples) > 5
    )  # it spins, but the machine may be crowded
    assert all(10 < sample["memory_mib"] < 100_000 for _, sample in samples)


def test_the_shortest_run_has_a_sample_and_leaves_no_thread(tmp_path: Path) -> None:
    n_threads = threading.active_count()
    with pytest.raises(RuntimeError, match="over"), record_usage(tmp_path, "cpu"):
        raise RuntimeError("over")
    assert len(read_usage(tmp_path)) == 1
    assert threading.active_count() == n_threads
    assert [file.name for file in tmp_path.iterdir()] == [usage.USAGE_FILE]


def test_a_long_run_keeps_a_short_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MOST_SAMPLES", 8)
    with record_usage(tmp_path, "cpu", interval_s=0.001):
        time.sleep(0.5)
    samples = read_usage(tmp_path)
    assert 3 <= len(samples) <= 8
    assert samples[-1][0] - samples[0][0] > 100  # over the whole run, not its end


def test_a_run_that_was_not_sampled_has_none(tmp_path: Path) -> None:
    assert read_usage(tmp_path) == []


def test_a_full_disk_is_not_worth_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with record_usage(tmp_path / "no such folder", "cpu"):
        pass
    assert "cannot be written" in caplog.text


def test_the_busy_share_is_the_mean_of_the_samples_of_the_training(tmp_path: Path) -> None:
    lines = [
        "at_ms,cpu_percent,memory_mib,gpu_percent",
        "1000,1,1,10",
        "2000,1,1,80",
        "3000,1,1,90",
    ]
    (tmp_path / USAGE_FILE).write_text("\n".join(lines) + "\n")
    assert mean_gpu_busy(tmp_path, since_s=1.5) == pytest.approx(0.85)
    assert mean_gpu_busy(tmp_path, since_s=4) is None
    (tmp_path / USAGE_FILE).write_text("at_ms,cpu_percent,memory_mib\n1000,1,1\n")
    assert mean_gpu_busy(tmp_path, since_s=0) is None
