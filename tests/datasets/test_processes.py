"""Children end with a killed parent, and when they are asked to."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import psutil
import pytest

from datasets import processes
from datasets.processes import build_follower, stop_processes

ROOT = Path(__file__).resolve().parents[2]
PARENT = """
import ctypes, multiprocessing, os, sys, time
from datasets.processes import follow_parent

def hold(kind):
    follow_parent()
    print(os.getpid(), flush=True)
    if kind == "gil":
        ctypes.PyDLL(None).sleep(60)  # no thread of this process runs meanwhile
    time.sleep(60)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    context.Process(target=hold, args=(sys.argv[2],)).start()
    time.sleep(60)
"""
SERVER = """
import multiprocessing, time
from multiprocessing import forkserver

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["datasets.fork_server", "slow_to_import"])
    forkserver.ensure_running()
    time.sleep(60)
"""
PROGRAM = """
import subprocess, sys, time
from datasets.processes import build_follower
child = subprocess.Popen(["sleep", "60"], preexec_fn=build_follower())
print(child.pid, flush=True)
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_end(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(pid)


def start_parent(folder: Path, source: str, *arguments: str) -> tuple[subprocess.Popen[str], int]:
    """Start a program that starts a child; return it and the child."""
    script = folder / "parent.py"
    script.write_text(source, encoding="utf-8")
    parent = subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert parent.stdout is not None
    with parent.stdout as output:
        return parent, int(output.readline())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
@pytest.mark.parametrize("context", ["spawn", "forkserver"])
@pytest.mark.parametrize("kind", ["gil", "stopped"])
def test_a_child_that_runs_no_thread_ends_with_its_parent(
    context: str, kind: str, tmp_path: Path
) -> None:
    parent, child = start_parent(tmp_path, PARENT, context, kind)
    if kind == "stopped":
        os.kill(child, signal.SIGSTOP)
    parent.kill()
    parent.wait()
    assert wait_for_end(child)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
def test_a_fork_server_that_imports_ends_with_its_parent(tmp_path: Path) -> None:
    """It looks at nothing else meanwhile."""
    slow = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n"
    (tmp_path / "slow_to_import.py").write_text(slow, encoding="utf-8")
    parent, server = start_parent(tmp_path, SERVER)
    parent.kill()
    parent.wait()
    assert wait_for_end(server)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
@pytest.mark.parametrize("number", [signal.SIGINT, *processes.GROUP_SIGNALS])
def test_a_fork_server_leaves_signals_to_the_group_to_its_parent(
    tmp_path: Path, number: signal.Signals
) -> None:
    done = tmp_path / "imported"
    slow = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(1)\n"
    slow += f"open({str(done)!r}, 'w').close()\n"
    (tmp_path / "slow_to_import.py").write_text(slow, encoding="utf-8")
    parent, server = start_parent(tmp_path, SERVER)
    os.kill(server, number)
    deadline = time.monotonic() + 10
    while not done.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert done.exists()
    parent.kill()
    parent.wait()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
def test_a_program_ends_with_its_parent(tmp_path: Path) -> None:
    parent, child = start_parent(tmp_path, PROGRAM)
    parent.kill()
    parent.wait()
    assert wait_for_end(child)
    assert build_follower() is not None


def ignore_sigterm(ready: Event) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready.set()
    time.sleep(60)


def start_deaf() -> multiprocessing.process.BaseProcess:
    """Start a child that ignores SIGTERM."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=ignore_sigterm, args=(ready,))
    process.start()
    assert ready.wait(30)
    return process


def test_a_child_that_ignores_sigterm_is_killed_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.5)
    process = start_deaf()
    begun = time.monotonic()
    stop_processes([process])
    assert time.monotonic() - begun >= 0.5
    assert process.exitcode == -signal.SIGKILL


def test_a_second_ctrl_c_kills_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 60.0)
    process = start_deaf()
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            stop_processes([process])
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert process.exitcode == -signal.SIGKILL


def test_a_child_of_a_fork_server_ends_when_it_is_asked_to() -> None:
    before = {number: signal.getsignal(number) for number in processes.GROUP_SIGNALS}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["datasets.fork_server"])
    child = context.Process(target=hold_for_long)
    child.start()
    stop_processes([child], 20.0)
    assert child.exitcode == -signal.SIGTERM
    assert {number: signal.getsignal(number) for number in processes.GROUP_SIGNALS} == before


def hold_for_long() -> None:
    processes.follow_parent()
    time.sleep(60)
