"""The four packages are found before others with their names, and not after them unnoticed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medtuning_bench.place import MARK, PACKAGES

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = '"""A package of somebody else."""\n'


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder with packages as the wheel lays them out, and a foreign `datasets`."""
    place = tmp_path / "site"
    shutil.copytree(ROOT / "medtuning_bench", place / "medtuning_bench")
    for name in PACKAGES:
        folder = place / "medtuning_bench" / name
        folder.mkdir()
        (folder / "__init__.py").write_text(f"{MARK}\n")
    command = place / "medtuning_bench" / "bench" / "cli"
    command.mkdir()
    (command / "__init__.py").write_text("")
    says = "import datasets, os\ndef main():\n    print(datasets.__file__)\n    return 0\n"
    (command / "app.py").write_text(says)
    (place / "datasets").mkdir()
    (place / "datasets" / "__init__.py").write_text(FOREIGN)
    return place


def start(place: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "medtuning_bench"]
    environment = os.environ | {"PYTHONPATH": str(place)}
    return subprocess.run(
        command, cwd=place.parent, env=environment, capture_output=True, text=True
    )


def test_a_foreign_package_of_the_same_name_stays_aside(installed):
    done = start(installed)
    assert done.stdout.strip() == str(installed / "medtuning_bench/datasets/__init__.py")
    assert done.returncode == 0


def test_a_package_that_another_distribution_has_overwritten_is_named(installed):
    file = installed / "medtuning_bench" / "datasets" / "__init__.py"
    file.write_text(FOREIGN)
    done = start(installed)
    assert done.returncode == 2
    assert "start-up: the package 'datasets' was overwritten by another distrib" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_package_that_is_missing_is_named(installed):
    shutil.rmtree(installed / "medtuning_bench" / "reports")
    done = start(installed)
    assert done.returncode == 2
    assert re.match(r"error: start-up: the package 'reports' (cannot|comes from)", done.stderr)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_package_has_its_mark(name):
    assert MARK in (ROOT / name / "__init__.py").read_text().splitlines()
