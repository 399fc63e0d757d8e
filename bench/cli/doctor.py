"""The command `doctor`: the facts of an installation that a report of a bug needs."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import psutil
import typer
from typer import Option

import bench
from bench.cli.listing.entries import print_entries
from bench.grid.slots import count_cores
from bench.models import registry
from bench.models.weights import catalogue
from bench.specs.addresses import find_sqlite_file
from bench.specs.disks import describe_network_disk, find_disk_type
from datasets.locks import try_lock
from datasets.processes import PROGRAM
from reports.formats.terminal import SafeConsole
from reports.records.text import mask_passwords

commands = typer.Typer()
PACKAGES = ("torch", "torchvision", "timm", "monai", "mlflow", "optuna", "numpy", "pandas", "typer")
OPTIONAL = {"submitit": "Slurm", "optuna-dashboard": "the dashboard of tuning"}
GIB = 1 << 30
LICENCES = (
    "Weights have licences of their own; those that forbid commercial use:",
    "Data sets have terms of their own, which the challenges' pages state.",
)


@commands.command()
def doctor(out: Annotated[Path, Option(help="Where runs are kept.")] = Path("results")) -> None:
    """Print versions, devices, disks, weights and the store, for a report of a bug.

    Nothing is sent to anybody, and nothing stays written.
    """
    sections = [
        ("program", [*_describe_program()]),
        ("machine", [*_describe_machine()]),
        ("disk", [*_describe_disk(out)]),
        ("weights", [*_describe_weights()]),
        ("store", [*_describe_store()]),
        ("licences", [*_describe_licences()]),
    ]
    print_entries(SafeConsole(), sections)


def _describe_program() -> Iterator[str]:
    yield f"medtuning-bench {bench.__version__}, started as {PROGRAM}, in {Path(bench.__file__)}"
    yield f"Python {platform.python_version()}, {sys.executable}"
    for name in PACKAGES:
        yield f"{name} {_find_version(name)}"
    for name, purpose in OPTIONAL.items():
        yield f"{name} {_find_version(name)} (for {purpose})"


def _find_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "is not installed"


def _describe_machine() -> Iterator[str]:
    memory = psutil.virtual_memory()
    yield platform.platform()
    yield f"{count_cores()} CPU cores, {memory.total / GIB:.1f} GiB of memory"
    if find_spec("torch") is None:
        return
    import torch

    yield f"torch is built for {(torch.version.cuda and 'CUDA ' + torch.version.cuda) or 'the CPU'}"
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        yield f"cuda:{number}: {facts.name}, {facts.total_memory / GIB:.1f} GiB"
    if not torch.cuda.device_count():
        yield "torch sees no GPU of NVIDIA"


def _describe_disk(out: Path) -> Iterator[str]:
    place = next(each for each in (out.resolve(), *out.resolve().parents) if each.is_dir())
    free = shutil.disk_usage(place).free
    kind = find_disk_type(place) or "of unknown type"
    yield f"{out.resolve()}: {free / GIB:.1f} GiB free, file system {kind}"
    try:
        with TemporaryDirectory(dir=place) as folder:
            first = try_lock(Path(folder) / "locks" / "lock")
            second = try_lock(Path(folder) / "locks" / "lock")
            works = first is not None and second is None
            for lock in (first, second):
                if lock is not None:
                    lock.release()
        yield "locks work there" if works else "locks do NOT work there: one command at a time"
    except OSError as error:
        yield f"it cannot be written to: {error.strerror}"


def _describe_weights() -> Iterator[str]:
    default = Path.home() / ".cache" / "huggingface"
    home = Path(os.environ.get("HF_HOME", default)) / "hub"
    cache = Path(os.environ.get("HF_HUB_CACHE", home))
    found = []
    with suppress(OSError):
        found = sorted(each.name for each in cache.glob("models--timm--*"))
    yield f"cache {cache}: {len(found)} downloads of timm"
    for name in found:
        yield f"  {name.removeprefix('models--timm--')}"
    if os.environ.get("HF_HUB_OFFLINE"):
        yield "HF_HUB_OFFLINE is set: nothing is downloaded"


def _describe_store() -> Iterator[str]:
    from bench.tracking.connection import default_uri

    uri = default_uri()
    file = find_sqlite_file(uri)
    state = "a server, which was not asked"
    if file is not None:
        state = f"{file.stat().st_size / 2**20:.1f} MiB" if file.exists() else "is not made yet"
    yield f"{mask_passwords(uri)}: {state}"
    warning = describe_network_disk(uri)
    if warning:
        yield warning


def _describe_licences() -> Iterator[str]:
    yield LICENCES[0]
    for name in registry.names():
        for weights in registry.get(name).weights:
            entry = catalogue.find(name, weights)
            if entry is not None and "-nc-" in entry.licence:
                yield f"  {weights} of {name}: {entry.licence}"
    yield LICENCES[1]
