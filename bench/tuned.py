"""The values that tuning has found, on their way from studies into runs: out of study records, or out of a TOML file.

A file says which budget found the values, and runs made from it carry that budget in their protocol: they compare with
runs that were tuned in place, and not with untuned ones.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.campaign import vary
from bench.spec import RunSpec, SpecError, TuneSpec
from bench.study_record import STUDY_FILE, TUNING, StudyRecord, read_study


@dataclass(frozen=True)
class Tuned:
    """The best values of one study."""

    method: str
    dataset: str
    backbone: str
    fold: int
    study: str  # "name#trial"
    values: dict[str, Any]
    tune: dict[str, Any]


def take_best(record: StudyRecord) -> Tuned:
    """Return what a study has found.

    Raises: SpecError if no trial has ended well.
    """
    best = record.best
    if best is None:
        reasons = sorted({trial.reason for trial in record.trials if trial.reason})
        raise SpecError(
            f"study {record.name}: no trial has ended well ({'; '.join(reasons)[:200] or 'none has ended'})"
        )
    study = f"{record.name}#{best.number}"
    return Tuned(record.method, record.dataset, record.backbone, record.fold, study, best.values, record.tune)


def find_tuned(out: Path) -> list[Tuned]:
    """Return what the studies below ``--out`` have found.

    Raises: SpecError if there are none.
    """
    files = sorted((out / TUNING).glob(f"*/{STUDY_FILE}"))
    if not files:
        raise SpecError(f"--tuned: there is no study in {out / TUNING} yet (make some with `python -m bench tune`)")
    return [take_best(read_study(file)) for file in files]


def apply_tuned(specs: Sequence[RunSpec], found: Iterable[Tuned]) -> list[RunSpec]:
    """Return the runs with the values found for them, and with the budget that found them in their protocol.

    Raises: SpecError if a run has no values, or if the budgets differ.
    """
    by_cell = {(tuned.method, tuned.dataset, tuned.backbone, tuned.fold): tuned for tuned in found}
    used: list[Tuned] = []
    runs = []
    for spec in specs:
        cell = (str(spec.method), spec.dataset, spec.protocol.model.backbone)
        folds = [tuned for key, tuned in by_cell.items() if key[:3] == cell]
        tuned = next((each for each in folds if each.fold == spec.fold), None)
        if tuned is None and folds and not folds[0].tune["per_fold"]:
            tuned = folds[0]
        if tuned is None:
            raise SpecError(
                f"--tuned: no study of {spec.method} on {spec.dataset} with {cell[2]}, fold {spec.fold} "
                "(make it with `python -m bench tune`)"
            )
        used.append(tuned)
        if tuned.tune != used[0].tune:
            raise SpecError(
                f"--tuned: every method must have had one budget, got {tuned.tune} for {tuned.study} "
                f"and {used[0].tune} for {used[0].study}"
            )
        protocol = replace(spec.protocol, tune=TuneSpec(**tuned.tune))
        runs.append(replace(vary(replace(spec, protocol=protocol), tuned.values), study=tuned.study))
    return runs


def write_toml(file: Path, found: Iterable[Tuned]) -> None:
    """Write the values so that ``--settings`` reads them; comments may be added by hand."""
    lines = ["# Values found by `python -m bench tune`; use them with `python -m bench run --settings FILE`."]
    for tuned in found:
        record = asdict(tuned)
        tables = {name: record.pop(name) for name in ("values", "tune")}
        lines += ["", "[[tuned]]", *(f"{key} = {json.dumps(value)}" for key, value in record.items())]
        for name, table in tables.items():
            lines += [f"[tuned.{name}]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items())]
    file.write_text("\n".join(lines) + "\n")


def read_toml(file: Path) -> list[Tuned]:
    """Return what `write_toml` wrote.

    Raises: SpecError if the file is missing, no TOML, or lacks something.
    """
    try:
        return [Tuned(**table) for table in tomllib.loads(file.read_text())["tuned"]]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise SpecError(
            f"--settings {file}: must be a file that `bench tune --export-tuned` wrote, got {error}"
        ) from None
