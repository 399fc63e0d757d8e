"""How the program ends."""

import os
import subprocess
import sys
from pathlib import Path

INTERRUPTED_WHILE_IMPORTING = """
import os, signal, sys
import bench.cli.app
from medtuning_bench.__main__ import main

def interrupt(number, frame):
    raise KeyboardInterrupt

def run_command():
    signal.signal(signal.SIGUSR1, interrupt)
    try:
        exec("import os, signal, time; os.kill(os.getpid(), signal.SIGUSR1); time.sleep(10)")
    except KeyboardInterrupt:
        return 75

bench.cli.app.main = run_command
sys.exit(main())
"""


def test_an_interrupt_amid_imports_ends_with_the_code_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(INTERRUPTED_WHILE_IMPORTING)
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "program"]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 75
