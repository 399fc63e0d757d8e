"""What a tuning study leaves behind. Plain data: neither Optuna nor torch is needed to read it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import nan
from pathlib import Path
from typing import Any, ClassVar

from datasets.files import read_record, write_durably
from datasets.processes import PROGRAM
from reports.records.edges import find_edge
from reports.records.run import Status

TUNING = "tuning"  # folder below ``--out``, with a folder for each study
STUDY_FILE = "study.json"
PICTURE_PREFIX = "study_"
SCHEMA_VERSION = 2
DAMAGED = f"the file is damaged: `{PROGRAM} tune` writes it again from the storage"
STRICT: dict[str, Any] = {"extra": "forbid", "allow_inf_nan": False}  # for pydantic
RUNNING, PRUNED = "running", "pruned"  # states of a trial beside those of `Status`
ENDED_WELL = frozenset({Status.DONE.value, PRUNED})
FAILURES = frozenset(
    {Status.FAILED.value, Status.OOM.value, Status.DIVERGED.value, Status.TIMEOUT.value}
)


@dataclass(frozen=True)
class _Versioned:
    """The field of a study that says how to read the others."""

    schema_version: Any = None


@dataclass(frozen=True)
class Cell:
    """One method in one setting; runs of a cell differ in their seed, and in what tuning chose."""

    method: str  # as asked for, such as "lora" or "lora[rank=4]"
    dataset: str
    backbone: str
    weights: str  # as tables name them
    fold: int
    shots: int  # training cases; 0 = all


@dataclass(frozen=True)
class TrialRecord:
    """One trial, from its beginning on."""

    number: int  # 0 tries the default
    status: str  # done, pruned, failed, diverged, oom, timeout, skipped or running
    values: dict[str, Any]  # "method.rank", "train.lr", ...
    dice: float | None = None  # mean over the inner validation cases, fraction; None unless done
    params_tuned: int = 0
    fit_s: float = 0.0  # of one that did not end well: from its start to its end
    reason: str = ""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT


@dataclass(frozen=True)
class StudyRecord:
    """One study: a method on one data set, with the budget that all methods get."""

    name: str
    method: str  # as asked for, such as "lora" or "lora[rank=4]"
    dataset: str
    backbone: str
    weights: str
    fold: int
    shots: int  # training cases; 0 = all
    synthetic: bool
    protocol_id: str  # of the final runs
    tune: dict[str, Any]  # the budget, as in the protocol
    protocol: dict[str, Any]  # what the trials ran under, without the size of the budget
    trials: tuple[TrialRecord, ...]
    # What was searched of each setting: default, choices, low, high, log, low_is_limit,
    # high_is_limit. Empty in older records.
    space: dict[str, Any] = field(default_factory=dict)
    dataset_title: str = ""  # how tables name the data set; empty: as ``dataset``
    schema_version: int = SCHEMA_VERSION

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    @property
    def cell(self) -> Cell:
        return Cell(self.method, self.dataset, self.backbone, self.weights, self.fold, self.shots)

    @property
    def heading(self) -> str:
        """How tables name the data set."""
        return self.dataset_title or self.dataset

    @property
    def budget(self) -> str:
        return describe_budget(self.tune)

    @property
    def done(self) -> list[TrialRecord]:
        ended = (trial for trial in self.trials if trial.status == Status.DONE)
        return [trial for trial in ended if trial.dice is not None]

    @property
    def given_up(self) -> bool:
        """Whether it ended with failures before its budget was spent."""
        if not self.trials or self.trials[-1].status not in FAILURES or not self.space:
            return False
        if budget_s := self.tune.get("budget_s"):
            return self.fit_s < budget_s
        return len(self.trials) < (self.tune.get("trials") or 0)

    @property
    def reasons(self) -> str:
        return "; ".join(dict.fromkeys(trial.reason for trial in self.trials if trial.reason))[:300]

    @property
    def default(self) -> TrialRecord | None:
        return next((trial for trial in self.done if trial.number == 0), None)

    @property
    def best(self) -> TrialRecord | None:
        """The trial with the highest Dice, the earliest of equals; None if none has ended well."""
        return max(self.done, key=lambda trial: (trial.dice or 0.0, -trial.number), default=None)

    @property
    def edges(self) -> dict[str, str]:
        """The settings whose best value is at an end of what was searched, with that end."""
        found = {}
        for key, value in (self.best.values if self.best else {}).items():
            if key in self.space and (end := find_edge(self.space[key], value)):
                found[key] = end
        return found

    @property
    def front(self) -> list[TrialRecord]:
        """The trials that no other beats in both Dice and parameters, by parameters."""
        front: list[TrialRecord] = []
        ranked = sorted(self.done, key=lambda trial: (trial.params_tuned, -(trial.dice or 0.0)))
        for trial in ranked:  # of equal ones the earliest is first
            if not front or (trial.dice or 0.0) > (front[-1].dice or 0.0):
                front.append(trial)
        return front

    @property
    def fit_s(self) -> float:
        return sum(trial.fit_s for trial in self.trials)

    def best_so_far(self) -> list[float]:
        """Return the highest Dice up to each trial; nan before the first that ended well."""
        best, line = nan, []
        for trial in self.trials:
            dice = trial.dice if trial.status == Status.DONE else None
            if dice is not None and not dice <= best:
                best = dice
            line.append(best)
        return line

    def write(self, folder: Path) -> Path:
        """Write ``study.json`` into ``folder``, as a whole or not at all."""
        write_durably(folder / STUDY_FILE, json.dumps(asdict(self), indent=1, allow_nan=False))
        return folder / STUDY_FILE


def describe_budget(tune: Mapping[str, Any]) -> str:
    """Return what each method gets, in words; empty where nothing is tuned.

    ``tune`` is the budget as in the protocol; the fields that a record lacks are 0.
    """
    if tune.get("budget_s"):
        return f"{tune['budget_s']:.0f} s of fit"
    trials = tune.get("trials") or 0
    if not trials:
        return ""
    return f"{trials} trials" if trials > 1 else "1 trial"


def read_study(file: Path) -> StudyRecord:
    """Read a study; raises ValueError if the file is damaged or of another schema version."""
    found = read_record(file, _Versioned, DAMAGED).schema_version
    if found != SCHEMA_VERSION:
        rule = f"schema version must be {SCHEMA_VERSION}"
        raise ValueError(f"{file}: {rule}, got {found} (tune again into a new --study)")
    return read_record(file, StudyRecord, DAMAGED)
