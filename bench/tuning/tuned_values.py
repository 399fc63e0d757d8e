"""The values that tuning has found, on their way into runs: from study records or from a TOML file.

Runs carry the budget that found their values in their protocol: they compare with runs that were
tuned in place, not with untuned ones. A file has one budget for all of its values.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.specs.protocol import SpecError, TuneSpec
from bench.specs.run import RunSpec
from bench.tuning.plan import describe_protocol, name_study, vary
from bench.tuning.study import name_difference
from datasets.files import describe_os_error, parse_record, read_text, write_durably
from datasets.processes import PROGRAM
from reports.records.study import STUDY_FILE, TUNING, Cell, StudyRecord, read_study

HEADER = f"# Values found by `{PROGRAM} tune`; use them with `{PROGRAM} run --settings FILE`."
WRITTEN_BY = f"must be a file that `{PROGRAM} tune --export-tuned` wrote"
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class TunedValues:
    """The best values of a study."""

    cell: Cell  # without weights: a file's values are used with any
    study: str  # "name#trial"
    values: dict[str, Any]
    tune: dict[str, Any]  # the budget that found them
    edges: tuple[str, ...] = ()  # values at an end of what was searched


def best_values(record: StudyRecord) -> TunedValues:
    """Return the best values of a study; the default, if no trial has ended well."""
    trial = record.best or record.trials[0]
    cell = replace(record.cell, weights="")
    study = f"{record.name}#{trial.number}"
    return TunedValues(cell, study, trial.values, record.tune, tuple(record.edges))


def find_studies(specs: Sequence[RunSpec], out: Path, prefix: str = "") -> list[StudyRecord]:
    """Return the finished studies below ``--out`` that the runs can take values from.

    ``prefix`` begins their names. Raises: SpecError if there are none or a protocol differs.
    """
    by_place = {_place_of(spec.cell): spec for spec in reversed(specs)}
    found = []
    for file in sorted((out / TUNING).glob(f"*/{STUDY_FILE}")):
        record = read_study(file)
        spec = by_place.get(_place_of(record.cell))
        if spec is not None and record.name == name_study(record.cell, prefix):
            _check_protocol(record, spec)
            found.append(record)
    if not found:
        rule = f"there is no finished study of these runs in {out / TUNING}"
        raise SpecError(f"--tuned: {rule} (make some with `{PROGRAM} tune`)")
    return found


def _check_protocol(record: StudyRecord, spec: RunSpec) -> None:
    made, wanted = dict(record.protocol), describe_protocol(spec)
    made["tune"] = wanted["tune"] = None  # the runs get the study's
    if made != wanted:
        rule = f"study {record.name} is of another protocol: {name_difference(made, wanted)}"
        hint = "tune again into a new --study, or take its values by --export-tuned, --settings"
        raise SpecError(f"--tuned: {rule} ({hint})")


def apply_tuned(specs: Sequence[RunSpec], found: Iterable[TunedValues]) -> list[RunSpec]:
    """Return the runs with the values found for them, and the budget that found them.

    Raises: SpecError if a run has no values or cannot have those found, or if the budgets differ.
    """
    by_cell = {tuned.cell: tuned for tuned in found}
    chosen = [_choose_values(spec, by_cell) for spec in specs]
    for tuned in chosen:
        if tuned.tune != chosen[0].tune:
            raise SpecError(
                f"--tuned: every method must have had one budget, got {tuned.tune} "
                f"for {tuned.study} and {chosen[0].tune} for {chosen[0].study}"
            )
    return [_apply(spec, tuned) for spec, tuned in zip(specs, chosen, strict=True)]


def _choose_values(spec: RunSpec, by_cell: Mapping[Cell, TunedValues]) -> TunedValues:
    """Return the values for a run: of its own fold, or of the one that was tuned on for all."""
    own = by_cell.get(replace(spec.cell, weights=""))
    if own is not None:
        return own
    for cell, tuned in by_cell.items():
        if _place_of(cell) == _place_of(spec.cell) and not tuned.tune.get("per_fold"):
            return tuned
    where = f"{spec.method} on {spec.dataset} with {spec.cell.backbone}, fold {spec.fold}"
    known = ", ".join(sorted({cell.dataset for cell in by_cell}))
    hint = f"make it with `{PROGRAM} tune`"
    raise SpecError(f"--tuned: no study of {where}, got studies on {known} ({hint})")


def _place_of(cell: Cell) -> Cell:
    """Return which runs a study of the cell can be for, of every fold and with any weights."""
    return replace(cell, weights="", fold=0)


def _apply(spec: RunSpec, tuned: TunedValues) -> RunSpec:
    try:
        protocol = replace(spec.protocol, tune=TuneSpec(**tuned.tune))
        run = vary(replace(spec, protocol=protocol), tuned.values)
        run = replace(run, study=tuned.study, study_fold=tuned.cell.fold, edges=tuned.edges)
        assert run.own_protocol  # built, and so checked, before anything is trained
    except (TypeError, ValueError) as error:
        raise SpecError(f"tuned values of {tuned.study}: {error}") from None
    return run


def apply_file(specs: Sequence[RunSpec], file: Path) -> list[RunSpec]:
    """Return the runs with the values of a file, which errors name; raises as `apply_tuned`."""
    found = read_toml(file)
    try:
        return apply_tuned(specs, found)
    except SpecError as error:
        cause = str(error).removeprefix("--tuned: ")
        raise SpecError(f"--settings {file}: {cause}") from None


def apply_shipped(specs: Sequence[RunSpec], file: Path) -> list[RunSpec]:
    """Return the runs with the values of a preset's file; unchanged if it lacks one of them."""
    found = read_toml(file)
    places = {_place_of(tuned.cell) for tuned in found}
    # All or none: a table compares methods that had the same budget.
    known = all(_place_of(spec.cell) in places for spec in specs)
    return apply_tuned(specs, found) if known else list(specs)


def write_toml(file: Path, found: Sequence[TunedValues]) -> None:
    """Write values of one budget so that ``--settings`` reads them."""
    lines = [HEADER, "", "[tune]", *_format_table(found[0].tune)]
    for tuned in found:
        place = asdict(tuned.cell) | {"study": tuned.study, "edges": list(tuned.edges)}
        del place["weights"]
        lines += ["", "[[tuned]]", *_format_table(place)]
        lines += ["[tuned.values]", *_format_table(tuned.values)]
    write_durably(file, "\n".join(lines) + "\n")


def _format_table(table: Mapping[str, Any]) -> list[str]:
    lines = []
    for key, value in table.items():
        name = key if BARE_KEY.fullmatch(key) else _quote(key)
        lines.append(f"{name} = {_quote(value)}")
    return lines


def _quote(value: Any) -> str:
    """Return a value as TOML has it; unlike JSON it has no surrogate pairs and no bare delete."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_toml(file: Path) -> list[TunedValues]:
    """Return what `write_toml` wrote. Raises: SpecError if it is missing, no TOML or incomplete."""
    try:
        raw = tomllib.loads(read_text(file, WRITTEN_BY))
        found = []
        for table in raw["tuned"]:
            study, values = table.pop("study"), table.pop("values")
            edges = tuple(table.pop("edges", ()))
            tuned = TunedValues(Cell(weights="", **table), study, values, raw["tune"], edges)
            parse_record(json.dumps(asdict(tuned)), TunedValues, f"--settings {file}", WRITTEN_BY)
            found.append(tuned)
        return found
    except (AttributeError, KeyError, TypeError) as error:
        keys = "method, dataset, backbone, fold, shots, study and values"
        rule = f"must have a table [tune], and in each [[tuned]] {keys}"
        raise SpecError(f"--settings {file}: {rule} (missing or unknown: {error})") from None
    except (RecursionError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"--settings {file}: {WRITTEN_BY}, got {error}") from None
    except OSError as error:
        raise SpecError(f"--settings {describe_os_error(error)} ({WRITTEN_BY})") from None
