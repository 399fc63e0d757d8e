"""A disk that is full, read-only, or in the way: sentences and exit codes, and no run lost."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.app import main
from datasets.phantoms.write import write_phantoms

ROOT = Path(__file__).resolve().parents[3]
MOUNTS = (("unshare", "--user", "--map-root-user", "--mount"), ("unshare", "--mount"))
SHARED = Path("/dev/shm")  # where nothing can be mounted, if it is small, as in a container
MOST_SHARED = 1 << 28  # bytes
MOUNTED = r"""
begin() { mkdir -p "$out"; mount -t tmpfs -o size=200m tmpfs "$out"; }
leave_room() {
    used=$(df -k --output=used "$out" | tail -1)
    mount -o remount,size=$((used + $1))k "$out"
}
make_room() { mount -o remount,size=200m "$out"; }
"""
FILLED = r"""
place=$(mktemp -d /dev/shm/medtuning.XXXX)
trap 'rm -rf "$place" "$place.full"' EXIT
begin() { ln -s "$place" "$out"; }
leave_room() {
    left=$(df -k --output=avail "$place" | tail -1)
    head -c $(((left - $1) * 1024)) /dev/zero > "$place.full"
}
make_room() { rm "$place.full"; }
"""
FILLING = r"""
out=$PWD/results
begin
bench() { "$PYTHON" -m bench run --data-root "$DATA" --methods linear --jobs 1 --epochs 1 \
    --max-steps 1 --preset demo --set data.patches_per_epoch=2 "$@"; }
bench --seeds 0 > first.log 2>&1 || exit 10
one=$(du -sk "$out/runs/" | cut -f1)
leave_room $((one * 3 / 2))
bench --seeds 0-3 > full.log 2>&1
echo $? > full.code
mkdir full room
cp -r "$out/runs" full
make_room
bench --seeds 0-3 > room.log 2>&1
echo $? > room.code
cp -r "$out/runs" room
"""


def read_statuses(folder: Path) -> dict[int, tuple[str, str]]:
    """Return status and reason of each seed."""
    found = {}
    for file in (folder / "runs").glob("*/result.json"):
        result = json.loads(file.read_bytes())
        found[result["seed"]] = (result["status"], result["reason"])
    return found


def choose_disk() -> list[str]:
    """Return the command that fills a small disk: one of its own, or that of shared memory."""
    for mount in MOUNTS:
        allowed = shutil.which("unshare") and not subprocess.run([*mount, "true"]).returncode
        if allowed:
            return [*mount, "bash", "-c", MOUNTED + FILLING]
    if SHARED.is_dir() and shutil.disk_usage(SHARED).total <= MOST_SHARED:
        return ["bash", "-c", FILLED + FILLING]
    pytest.skip(f"needs the right to mount a disk, or a {SHARED} of at most 256 MiB")


@pytest.mark.slow
def test_a_disk_that_fills_in_the_middle_of_a_grid_costs_only_what_did_not_fit(
    tmp_path: Path,
) -> None:
    command = choose_disk()
    write_phantoms("brats", tmp_path / "brats", 6, shape=(16, 32, 32))
    environment = {
        "PYTHON": sys.executable, "DATA": str(tmp_path / "brats"), "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1", "COLUMNS": "300",
    }  # fmt: skip
    kept = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(command, cwd=tmp_path, env=kept | environment)
    assert done.returncode == 0, (tmp_path / "first.log").read_text(encoding="utf-8")
    log = (tmp_path / "full.log").read_text(encoding="utf-8")
    assert (tmp_path / "full.code").read_text() == "1\n", log
    assert "Traceback" not in log
    statuses = read_statuses(tmp_path / "full")
    assert [statuses[seed][0] for seed in (0, 1)] == ["done", "done"]
    for seed in (2, 3):
        assert f"seed {seed}: results/runs/" in log
        status, reason = statuses.get(seed, ("failed", "No space left on device (make room"))
        assert status == "failed"
        assert "No space left on device (make room" in reason
    log = (tmp_path / "room.log").read_text(encoding="utf-8")
    assert (tmp_path / "room.code").read_text() == "0\n", log
    assert {status for status, _ in read_statuses(tmp_path / "room").values()} == {"done"}
    assert len(read_statuses(tmp_path / "room")) == 4


COMMANDS = (
    ["run", "--methods", "linear", "--epochs", "1", "--max-steps", "1"],
    ["tune", "--methods", "linear", "--trials", "1"],
    ["plan"],
    ["data", "demo"],
    ["pretrain", "--steps", "1", "--batch", "1"],
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_folder_that_cannot_be_made_is_a_sentence(
    command: list[str], tmp_path: Path, monkeypatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file")
    name = "x.safetensors" if command[0] == "pretrain" else "x"
    assert main([*command, "--out", f"taken/{name}"]) == 2
    captured = capfd.readouterr()
    assert "error: " in captured.err
    assert "taken" in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
def test_errors_of_the_system_are_a_sentence_with_path_and_way_out(
    code: int, tmp_path: Path, monkeypatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "touch", fail)
    assert main(["data", "demo", "--out", "here", "--cases", "1"]) == 2
    error = " ".join(capfd.readouterr().err.split())
    assert f"error: {Path('here')}" in error
    assert f"{os.strerror(code)} (" in error
