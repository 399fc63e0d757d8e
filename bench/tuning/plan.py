"""Which studies a grid needs, and the run of each of their trials."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.grid.feasibility import change_settings
from bench.run.watch.progress import Stand
from bench.specs.protocol import TuneSpec
from bench.specs.run import RunSpec, digest
from bench.tuning.space import Space, build_space, describe_space, split_values
from datasets.files import file_name_of
from methods.settings import Value
from reports.records.study import TUNING, Cell, TrialRecord

LOST = re.compile(r"=-|[^\w.\[\],=:-]")  # of a method: signs that make a difference, as in alpha=-1
STORAGE = "optuna.db"  # beside the studies' folders, unless --storage names another
LOCK = "lock"  # file in a study's folder, held while a trial is handed out or a file is written


@dataclass(frozen=True)
class StudyPlan:
    """A study: the run that it varies, and what it searches."""

    name: str
    run: RunSpec  # the method with its defaults, on the fold that is tuned on
    space: Space
    folder: Path

    @property
    def tune(self) -> TuneSpec:
        return self.run.protocol.tune

    def record(self) -> dict[str, Any]:
        """Return, as plain data, what must not change while the study lasts."""
        return {"space": describe_space(self.space), "protocol": describe_protocol(self.run)}

    def trial_folder(self, number: int) -> Path:
        """Return the folder of a trial."""
        return self.folder / f"trial-{number:04d}"

    def trial_run(self, values: Mapping[str, Value]) -> RunSpec:
        """Return the run of a trial, with as many epochs as the budget gives it."""
        run = vary(self.run, values)
        if not self.tune.epochs:
            return run
        return replace(run, chosen=(*run.chosen, ("train.epochs", str(self.tune.epochs))))


@dataclass(frozen=True)
class TrialEvent:
    """A trial began, was validated (``validations`` times so far), went on, or ended."""

    plan: StudyPlan
    trial: TrialRecord
    validations: int = 0
    stand: Stand | None = None  # how far it is


def plan_studies(
    specs: Sequence[RunSpec],
    out: Path,
    searches: Sequence[str] = (),
    prefix: str = "",
    only: Sequence[str] = (),
) -> list[StudyPlan]:
    """Return the studies that the final runs ``specs`` need, in their order.

    ``prefix`` begins their names. ``searches``, ``only`` and what is raised: as in `build_space`.
    """
    first: dict[str, RunSpec] = {}  # of each data set
    plans: dict[str, StudyPlan] = {}
    for spec in specs:
        start = first.setdefault(spec.dataset, spec)
        fold = spec.fold if spec.protocol.tune.per_fold else start.fold
        run = replace(spec, fold=fold, seed=start.seed)
        name = name_study(run.cell, prefix)
        if name not in plans:
            space = build_space(run.method.build(), run.own_protocol, searches, only)
            plans[name] = StudyPlan(name, run, space, out / TUNING / name)
    return list(plans.values())


def name_study(cell: Cell, prefix: str = "") -> str:
    """Return a study's name, which is also that of its folder; other methods have other names."""
    shots = f"-shots{cell.shots}" if cell.shots else ""
    method = re.sub(r"[^\w.]+", "-", cell.method).strip(".-")
    if LOST.search(cell.method):
        method += f"-{digest(cell.method)}"
    name = f"{prefix}{cell.dataset}-{method}-{cell.backbone}-f{cell.fold}{shots}"
    return file_name_of(re.sub(r"[^\w.]+", "-", name).strip(".-"))


def describe_protocol(run: RunSpec) -> dict[str, Any]:
    """Return, as plain data, what trials run under, without the budget's size, which may grow."""
    record: dict[str, Any] = json.loads(json.dumps(run.protocol_record()))
    del record["tune"]["trials"], record["tune"]["budget_s"]
    return record


def vary(run: RunSpec, values: Mapping[str, Value]) -> RunSpec:
    """Return the run with a trial's values in place of its defaults."""
    own, shared = split_values(values)
    method = change_settings(run.method, own) if own else run.method
    chosen = tuple((key, str(value)) for key, value in sorted(shared.items()))
    return replace(run, method=method, chosen=chosen)
