"""What a run leaves behind. Plain data: neither torch nor MLflow is needed to read it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from math import nan
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 2
RESULT_FILE = "result.json"


class Status(StrEnum):
    """How a run ended."""

    DONE = "done"
    FAILED = "failed"
    DIVERGED = "diverged"
    OOM = "oom"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class CaseScore:
    """One case x region of the held-out fold."""

    case: str
    region: str
    dice: float  # fraction in [0, 1]; nan where the empty policy leaves it undefined
    hd95_mm: float  # nan where the empty policy leaves it undefined, or the spacing is not known
    n_reference_vox: int
    n_predicted_vox: int
    n_common_vox: int = 0  # in both masks
    nsd: float = nan  # normalised surface Dice at ``nsd_tolerance_mm``, fraction in [0, 1]; nan as hd95_mm
    nsd_tolerance_mm: float = nan
    reference_ml: float = nan
    predicted_ml: float = nan


@dataclass(frozen=True)
class PostProcessing:
    """The scores of a region with predictions of fewer than ``min_vox`` voxels taken as none; see `RunResult.cases`
    for those without."""

    region: str
    min_vox: int
    tried: tuple[tuple[int, float], ...]  # candidates with their mean Dice on the inner validation cases; none if given
    cases: tuple[CaseScore, ...]


@dataclass(frozen=True)
class EpochRecord:
    """One line of the learning curve; ``val_dice`` is None in epochs without validation."""

    epoch: int
    train_loss: float
    learning_rate: float
    val_dice: float | None


@dataclass(frozen=True)
class Timing:
    """Repeated measurements after warm-up, the device synchronised."""

    median_s: float
    iqr_s: float  # between the quartiles
    n: int


@dataclass(frozen=True)
class Compute:
    """Multiply-accumulates for one patch, in 10^9."""

    forward_gmac: float
    training_gmac: float  # forward and backward; what needs no gradient costs no backward
    uncounted: tuple[str, ...] = ()  # operations without a rule, as "name x calls"; never silently zero


@dataclass(frozen=True)
class Memory:
    """What one training step on one batch holds, in MiB; exact but for the peaks."""

    weights_mib: float
    gradients_mib: float
    optimizer_mib: float
    saved_for_backward_mib: float  # distinct bytes kept by autograd, weights not counted
    peak_mib: float | None = None  # of the device's allocator over a training step; None on a CPU
    reserved_mib: float | None = None


@dataclass(frozen=True)
class Merged:
    """Inference with the method folded into the backbone's weights."""

    inference: Timing
    max_abs_diff: float  # of the logits, against the unmerged network


@dataclass(frozen=True)
class Cost:
    """What the run needed. Counts are exact; ``tuned`` counts what the method trains, nothing that all methods do."""

    params_total: int
    params_tuned: int  # trained by the method
    params_decoder: int
    params_tuned_frac: float  # of the backbone before the method was put in: full fine-tuning is 1
    fit_s: float
    score_s: float
    peak_memory_mib: float  # of the process on a CPU, of the device's allocator on a GPU
    params_other: int = 0  # trained in the backbone by the protocol, equally for all methods
    data_wait_s: float = 0.0  # of the fit, waiting for patches; not in ``fit_s``
    compute: Compute | None = None
    memory: Memory | None = None
    train_step: Timing | None = None  # one optimiser step on one batch
    inference: Timing | None = None  # one inner validation volume, sliding windows and flips included
    merged: Merged | None = None  # None where the method does not merge
    energy_j: float | None = None  # of the device over the fit, where it tells
    delta_mib: float | None = None  # the file of what was trained


@dataclass(frozen=True)
class RunResult:
    """The durable record of one run, stored as ``result.json`` in the run's folder."""

    run_id: str
    status: Status
    reason: str  # empty when done; otherwise one sentence
    method: str  # name
    settings: dict[str, Any]  # the method's settings, defaults included
    label: str  # how tables name the method: name plus the settings that differ from the default
    dataset: str
    backbone: str
    weights: str
    fold: int
    seed: int
    protocol_id: str
    protocol: dict[str, Any]
    synthetic: bool
    regions: tuple[str, ...] = ()
    cases: tuple[CaseScore, ...] = ()
    empty_policy: str = ""  # by which the scores of empty masks were decided
    postprocessing: PostProcessing | None = None
    curve: tuple[EpochRecord, ...] = ()
    best_epoch: int | None = None
    cost: Cost | None = None
    split_hash: str = ""
    data_fingerprint: str = ""
    weights_sha256: str = ""  # of the pre-trained file; empty for random weights
    chosen_sha256: str = ""  # of the delta that was chosen, written before the held-out cases were opened
    test_reads: int = 0  # how often the held-out cases were opened
    reload_max_abs_diff: float | None = None  # logits of backbone + stored delta against those of the trained network
    study: str = ""  # the tuning study and trial that chose the settings, as "study#trial"
    group: str = ""  # the `run` command that asked for this run
    provenance: dict[str, Any] = field(default_factory=dict)
    traceback: str = ""
    schema_version: int = SCHEMA_VERSION

    def write(self, folder: Path) -> Path:
        """Write ``result.json`` into ``folder`` so that a power cut leaves either the old file or the new one."""
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / RESULT_FILE
        partial = target.with_suffix(".partial")
        with partial.open("w") as stream:
            json.dump(asdict(self), stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(target)
        return target

    @staticmethod
    def from_json(text: str) -> RunResult:
        """Return the result that `write` stored.

        Raises: ValueError if the text is of another schema version.
        """
        raw = json.loads(text)
        if raw.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(f"result: schema version must be {SCHEMA_VERSION}, got {raw.get('schema_version')}")
        raw["status"] = Status(raw["status"])
        raw["regions"] = tuple(raw["regions"])
        raw["cases"] = tuple(CaseScore(**row) for row in raw["cases"])
        raw["postprocessing"] = _read_postprocessing(raw["postprocessing"]) if raw["postprocessing"] else None
        raw["curve"] = tuple(EpochRecord(**row) for row in raw["curve"])
        raw["cost"] = _read_cost(raw["cost"]) if raw["cost"] else None
        return RunResult(**raw)


def _read_postprocessing(raw: dict[str, Any]) -> PostProcessing:
    tried = tuple((count, dice) for count, dice in raw["tried"])
    return PostProcessing(**(raw | {"tried": tried, "cases": tuple(CaseScore(**row) for row in raw["cases"])}))


def _read_cost(raw: dict[str, Any]) -> Cost:
    parts = {"compute": Compute, "memory": Memory, "train_step": Timing, "inference": Timing}
    read: dict[str, Any] = {name: kind(**raw[name]) for name, kind in parts.items() if raw[name]}
    if raw["compute"]:
        read["compute"] = Compute(**(raw["compute"] | {"uncounted": tuple(raw["compute"]["uncounted"])}))
    if raw["merged"]:
        merged = raw["merged"]
        read["merged"] = Merged(Timing(**merged["inference"]), merged["max_abs_diff"])
    return Cost(**(raw | read))


def read_result(folder: Path) -> RunResult | None:
    """Return the result in a run's folder, or None if the run has not ended."""
    file = folder / RESULT_FILE
    return RunResult.from_json(file.read_text()) if file.is_file() else None


def flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested record under dotted names: ``{"train": {"lr": 0.1}}`` becomes ``{"train.lr": 0.1}``."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
