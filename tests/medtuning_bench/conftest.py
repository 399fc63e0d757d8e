"""An environment with the wheel of this repository, beside the Hugging Face libraries."""

import os
import shutil
import site
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("medtuning_bench", "bench", "methods", "datasets", "reports")
OTHERS = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
BUILD = "from setuptools.build_meta import build_wheel; print(build_wheel('dist'))"


@dataclass(frozen=True)
class Installed:
    """The wheel, and a virtual environment that has it and the libraries of this one."""

    wheel: Path
    venv: Path

    def run(self, folder: Path, *arguments: str, **changes: str) -> str:
        """Run a program of the environment and return what it prints."""
        environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "HOME": str(folder)}
        environment.pop("PYTHONPATH", None)
        command = [str(self.venv / "bin" / arguments[0]), *arguments[1:]]
        done = subprocess.run(
            command, cwd=folder, env=environment | changes, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    for name in SHIPPED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in OTHERS:
        shutil.copy(ROOT / name, folder)
    for name in ("tests", "docs", "benchmarks"):  # what is not to be shipped
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    built = [sys.executable, "-W", "ignore", "-c", BUILD]
    done = subprocess.run(built, cwd=folder, check=True, capture_output=True, text=True)
    wheel = folder / "dist" / done.stdout.splitlines()[-1]
    place = folder / "venv"
    venv.create(place, with_pip=False, symlinks=True)
    packages = Path(
        subprocess.check_output(
            [place / "bin" / "python", "-c", "import site; print(site.getsitepackages()[0])"],
            text=True,
        ).strip()
    )
    (packages / "libraries.pth").write_text("\n".join(site.getsitepackages()))
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install"]
    options = ["--quiet", "--no-deps", "--no-index", "--ignore-installed"]
    options.append("--disable-pip-version-check")
    subprocess.run([*pip, *options, str(wheel)], check=True, capture_output=True)
    return Installed(wheel, place)
