"""The values that tuning has found, on their way from studies into runs: out of study records, or out of a TOML file.

A file says which budget found the values, and runs made from it carry that budget in their
protocol: they compare with runs that were tuned in place, and not with untuned ones.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from bench.specs.protocol import SpecError, TuneSpec
from bench.specs.run import RunSpec
from bench.tuning.campaign import describe_protocol, name_study, vary
from bench.tuning.study import name_difference
from reports.records.study import STUDY_FILE, TUNING, StudyRecord, read_study


@dataclass(frozen=True)
class Tuned:
    """The best values of one study."""

    method: str
    dataset: str
    backbone: str
    fold: int
    shots: int  # training cases; 0 = all
    study: str  # "name#trial"
    values: dict[str, Any]
    tune: dict[str, Any]

    @property
    def cell(self) -> tuple[str, str, str, int]:
        """Which runs the values are for, but for the fold."""
        return self.method, self.dataset, self.backbone, self.shots


def take_best(record: StudyRecord) -> Tuned:
    """Return what a study has found; where no trial has ended well, that is the default, its first trial."""
    trial = record.best or record.trials[0]
    study = f"{record.name}#{trial.number}"
    cell = (record.method, record.dataset, record.backbone, record.fold, record.shots)
    return Tuned(*cell, study, trial.values, record.tune)


def find_studies(specs: Sequence[RunSpec], out: Path, prefix: str = "") -> list[StudyRecord]:
    """Return the finished studies below ``--out`` that the runs can take values from.

    ``prefix`` is what ``--study`` has put in front of the studies' names. Raises: SpecError if
    there are none, or if one was made under another protocol than the runs have.
    """
    records = [read_study(file) for file in sorted((out / TUNING).glob(f"*/{STUDY_FILE}"))]
    found = []
    for record in records:
        name = name_study(
            record.method, record.dataset, record.backbone, record.fold, record.shots, prefix
        )
        spec = next((spec for spec in specs if _cell(spec) == take_best(record).cell), None)
        if record.name == name and spec is not None:
            _check_protocol(record, spec)
            found.append(record)
    if not found:
        hint = "make some with `python -m bench tune`"
        raise SpecError(
            f"--tuned: there is no finished study of these runs in {out / TUNING} ({hint})"
        )
    return found


def apply_tuned(specs: Sequence[RunSpec], found: Iterable[Tuned]) -> list[RunSpec]:
    """Return the runs with the values found for them, and with the budget that found them in their protocol.

    Raises: SpecError if a run has no values or cannot have those found, or if the budgets differ.
    """
    by_place = {(*tuned.cell, tuned.fold): tuned for tuned in found}
    used: list[Tuned] = []
    runs = []
    for spec in specs:
        cell = _cell(spec)
        folds = [tuned for tuned in by_place.values() if tuned.cell == cell]
        tuned = by_place.get((*cell, spec.fold))
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
        try:
            protocol = replace(spec.protocol, tune=TuneSpec(**tuned.tune))
            run = replace(vary(replace(spec, protocol=protocol), tuned.values), study=tuned.study)
            assert run.own_protocol  # built, and so checked, before anything is trained
        except (TypeError, ValueError) as error:
            raise SpecError(f"tuned values of {tuned.study}: {error}") from None
        runs.append(run)
    return runs


def apply_shipped(specs: Sequence[RunSpec], file: Path) -> list[RunSpec]:
    """Return the runs with the values that come with a preset; unchanged if it has none for one of them.

    All or none: a table compares methods that had the same budget.
    """
    found = read_toml(file)
    cells = {tuned.cell for tuned in found}
    return apply_tuned(specs, found) if all(_cell(spec) in cells for spec in specs) else list(specs)


def write_toml(file: Path, found: Iterable[Tuned]) -> None:
    """Write the values so that ``--settings`` reads them; comments may be added by hand."""
    lines = [
        "# Values found by `python -m bench tune`; use them with `python -m bench run --settings FILE`."
    ]
    for tuned in found:
        record = asdict(tuned)
        tables = {name: record.pop(name) for name in ("values", "tune")}
        lines += [
            "",
            "[[tuned]]",
            *(f"{key} = {json.dumps(value)}" for key, value in record.items()),
        ]
        for name, table in tables.items():
            lines += [
                f"[tuned.{name}]",
                *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items()),
            ]
    file.write_text("\n".join(lines) + "\n")


def read_toml(file: Path) -> list[Tuned]:
    """Return what `write_toml` wrote.

    Raises: SpecError if the file is missing, no TOML, or lacks something.
    """
    known = ", ".join(item.name for item in fields(Tuned))
    try:
        tables = tomllib.loads(file.read_text())["tuned"]
        return [Tuned(**table) for table in tables]
    except KeyError:
        raise SpecError(f"--settings {file}: must have a table [[tuned]], got none") from None
    except TypeError as error:
        raise SpecError(
            f"--settings {file}: each [[tuned]] must have {known}, got {error}"
        ) from None
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SpecError(
            f"--settings {file}: must be a file that `bench tune --export-tuned` wrote, got {error}"
        ) from None


def _cell(spec: RunSpec) -> tuple[str, str, str, int]:
    return str(spec.method), spec.dataset, spec.protocol.model.backbone, spec.protocol.data.shots


def _check_protocol(record: StudyRecord, spec: RunSpec) -> None:
    made, wanted = dict(record.protocol), describe_protocol(spec)
    made["tune"] = wanted["tune"] = None  # the runs get the study's
    if made != wanted:
        difference = name_difference(made, wanted)
        raise SpecError(
            f"--tuned: study {record.name} is of another protocol: {difference} "
            "(tune again into a new --study, or take the values all the same: --export-tuned, --settings)"
        )
