"""Where a result comes from: what was asked for, code, packages, machine."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import methods
from bench.run.cases import open_data
from bench.run.firewall import read_clock
from bench.specs.run import Place, RunSpec
from datasets.base import DataError, Dataset
from datasets.overlaps import find_overlaps
from datasets.processes import IS_INSTALLED
from methods.execution import PLAIN
from reports.records.release import ReleaseRecord
from reports.records.run import RunResult, Status

if TYPE_CHECKING:
    import torch

PACKAGES = (
    *("torch", "timm", "monai", "lightning-fabric", "fvcore"),
    *("numpy", "scipy", "nibabel", "safetensors", "mlflow"),
)
ROOT = Path(__file__).resolve().parents[2]
AMPERE = 8  # the first generation of NVIDIA GPUs that rounds to TF32
CPU_FACTS = Path("/proc/cpuinfo")


def describe_start(spec: RunSpec, place: Place) -> dict[str, Any]:
    """Return what was asked for and the circumstances of a run, as plain data."""
    commit = _git("rev-parse", "HEAD")
    execution = PLAIN if spec.method.is_reference else place.means.execution  # of backbones alone
    return {
        "git_commit": commit,
        "git_dirty": bool(_git("status", "--porcelain")) if commit else None,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _list_packages(spec)},
        "device": place.device,
        "n_devices": place.means.n_devices,
        "data_workers": place.means.data_workers or 0,
        "device_name": name_device(place.device),
        "checkpointing": execution.checkpointing,
        "slices_per_chunk": execution.slices_per_chunk or 0,
        "compiled": place.means.compiled,
        "started_at": read_clock(),
        "spec": asdict(spec) | {"root": str(spec.root)},
        "decoder_from": asdict(spec.donor) if spec.donor else None,
        "seeds": spec.seeds,
    }


def _list_packages(spec: RunSpec) -> tuple[str, ...]:
    return PACKAGES + spec.method.build().info.packages


def describe_arithmetic(device: torch.device, precision: str) -> dict[str, Any]:
    """Return with how many CPU threads, and in which precision, a network really computes."""
    import torch

    rounded = []
    if device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= AMPERE:
        if torch.backends.cudnn.allow_tf32:
            rounded.append("convolutions")
        if torch.backends.cuda.matmul.allow_tf32:
            rounded.append("matrix products")
    if rounded and precision == "32-true":
        precision = f"{precision}, {' and '.join(rounded)} in TF32"
    return {"threads": torch.get_num_threads(), "precision": precision}


def describe_end(wall_s: float) -> dict[str, Any]:
    """Return when a run ended, and the seconds that it took."""
    return {"ended_at": read_clock(), "wall_s": round(wall_s, 3)}


def describe_run(spec: RunSpec) -> RunResult:
    """Return the record of a run that has not begun; it counts as failed until more is known."""
    dataset = open_data(spec)
    method = spec.method.build()
    return RunResult(
        run_id=spec.run_id,
        status=Status.FAILED,
        reason="the run has not ended",
        method=spec.method.name,
        settings=methods.settings(method),
        label=methods.label(method),
        dataset=spec.dataset,
        backbone=spec.backbone,
        weights=spec.weights_label,
        fold=spec.fold,
        seed=spec.seed,
        protocol_id=spec.protocol_id,
        protocol=spec.protocol_record(),
        synthetic=dataset.synthetic,
        data_note=dataset.note,
        regions=_name_regions(dataset),
        study=spec.study,
        study_fold=spec.study_fold,
        group=spec.group,
        release=describe_release(spec.dataset),
        kind=method.info.kind,
        family=str(getattr(method.info, "family", "")),
        year=getattr(method.info, "year", None),
    )


def describe_release(name: str) -> ReleaseRecord | None:
    """Return the facts of the release that a run is of; None for a datalist."""
    if name not in datasets.releases():
        return None
    family, release = datasets.releases()[name]
    return ReleaseRecord(release.title, family, find_overlaps(name))


def _name_regions(dataset: Dataset) -> tuple[str, ...]:
    """Return what is scored; nothing where the data are gone, which is how the run will end."""
    try:
        return tuple(region.name for region in dataset.info.regions)
    except DataError:
        return ()


def hash_code() -> str:
    """Return a hash of the source files that runs are made of."""
    found = hashlib.sha256()
    for room in ("bench", "datasets", "methods"):
        for file in sorted((ROOT / room).rglob("*.py")):
            found.update(file.read_bytes())
    return found.hexdigest()


def _git(*arguments: str) -> str | None:
    """Return what git prints, or None where the code is not in a git checkout."""
    if IS_INSTALLED:  # a checkout around the environment is somebody else's
        return None
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()


def name_device(device: str) -> str:
    """Return the product name of a GPU or, for any other device, of the processor."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    if CPU_FACTS.is_file():
        for line in CPU_FACTS.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
