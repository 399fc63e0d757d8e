"""What a run leaves behind. Plain data: neither torch nor MLflow is needed to read it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
RESULT_FILE = "result.json"


class Status(StrEnum):
    """How a run ended."""

    DONE = "done"
    FAILED = "failed"
    DIVERGED = "diverged"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class CaseScore:
    """One case x region of the held-out fold."""

    case: str
    region: str
    dice: float  # fraction in [0, 1]
    hd95_mm: float  # nan where the empty policy leaves it undefined
    n_reference_vox: int
    n_predicted_vox: int


@dataclass(frozen=True)
class EpochRecord:
    """One line of the learning curve; ``val_dice`` is None in epochs without validation."""

    epoch: int
    train_loss: float
    learning_rate: float
    val_dice: float | None


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
    curve: tuple[EpochRecord, ...] = ()
    best_epoch: int | None = None
    cost: Cost | None = None
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
        raw["curve"] = tuple(EpochRecord(**row) for row in raw["curve"])
        raw["cost"] = Cost(**raw["cost"]) if raw["cost"] else None
        return RunResult(**raw)


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
