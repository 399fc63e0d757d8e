"""`ui` ends with its server, whoever ends it."""

import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from bench.cli import store
from bench.cli.app import main

ROOT = Path(__file__).resolve().parents[4]
START = """
import os, sys
from bench.cli.store import serve
sys.exit(serve([sys.executable, "-c", sys.argv[1]], os.environ))
"""
# a server with a worker of its own, which would outlive it
SERVER = """
import subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(worker.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_and_its_workers(number):
    command = [sys.executable, "-c", START, SERVER]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    # a shell lets what it starts in the background ignore Ctrl-C, and these tests with it
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=heed
    ) as started:
        worker = int(started.stdout.readline())
        family = [psutil.Process(worker), *psutil.Process(started.pid).children(recursive=True)]
        started.send_signal(number)
        assert started.wait(timeout=30) == 130
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


def test_an_address_where_no_server_can_listen_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "serve", lambda *_: pytest.fail("it would end with 0"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for host, reason in (("127.0.0.1", "already in use"), ("192.0.2.1", "assign requested")):
            assert main(["ui", "--host", host, "--port", port]) == 2
            printed = capsys.readouterr()
            sentence = "error: ui: --host and --port must be where a server can listen, got "
            assert printed.err.startswith(f"{sentence}{host}:{port} (")
            assert reason in printed.err
            assert not printed.out


@pytest.mark.slow
def test_the_ui_of_mlflow_listens_where_it_is_told_and_ends(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bench", "ui", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, is_open=True)
    finally:
        started.terminate()
    assert started.wait(timeout=60) == 130
    wait_for(port, is_open=False)


def wait_for(port: int, *, is_open: bool) -> None:
    ends = time.monotonic() + 90
    while time.monotonic() < ends:
        with socket.socket() as client:
            if (client.connect_ex(("127.0.0.1", port)) == 0) is is_open:
                return
        time.sleep(0.2)
    pytest.fail(f"the port is {'not ' * is_open}open")
