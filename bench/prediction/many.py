"""Segment many cases; one that cannot be used does not stop the others, and what is done is kept.

Beside each label file is a record of the runs and of the input files that it was made from. A
later call leaves a case alone if both are still the same.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from bench.cost.memory import is_out_of_memory
from bench.prediction.networks import Networks, segment_case
from bench.prediction.output import name_probabilities, write_prediction
from datasets.base import Case, DataError, Problem
from datasets.files import (
    FileError,
    describe_os_error,
    file_name_of,
    naming,
    read_record,
    write_durably,
)

ENDING = ".nii.gz"
WRITTEN, KEPT, FAILED = "written", "kept", "failed"


@dataclass(frozen=True)
class Record:
    """What a label file was made from."""

    case: str
    runs: dict[str, str]  # run -> SHA-256 of its trained tensors
    inputs: dict[str, str]  # channel -> SHA-256 of its file
    et_min_vox: int
    sha256: str = ""  # of the label file; empty until it is written
    volumes_ml: dict[str, float] | None = None


@dataclass(frozen=True)
class Outcome:
    """How a case ended."""

    case: str
    status: str  # written, kept or failed
    reason: str = ""  # of a failure
    volumes_ml: dict[str, float] | None = field(default=None)


OnOutcome = Callable[[Outcome, int, int], None]  # takes the outcome, cases done, cases in all


def predict_many(
    networks: Networks,
    cases: Sequence[Case],
    problems: Sequence[Problem],
    folder: Path,
    on_outcome: OnOutcome,
    *,
    probabilities: bool = False,
) -> list[Outcome]:
    """Write ``CASE.nii.gz`` and ``CASE.json`` for each case, and return how each ended.

    ``problems`` are what is wrong with other cases of the input: they end as failed.
    """
    outcomes: list[Outcome] = []
    n_all = len(cases) + len(problems)

    def add(outcome: Outcome) -> None:
        outcomes.append(outcome)
        on_outcome(outcome, len(outcomes), n_all)

    for problem in problems:
        add(Outcome(problem.case, FAILED, problem.message))
    for case in cases:
        add(_attempt(networks, replace(case, label=None), folder, probabilities=probabilities))
    return outcomes


def _attempt(networks: Networks, case: Case, folder: Path, *, probabilities: bool) -> Outcome:
    """Segment a case unless that was done; return the failure of a case that cannot be used."""
    try:
        return _predict(networks, case, folder, probabilities=probabilities)
    except ValueError as error:
        return Outcome(case.id, FAILED, str(error))
    except OSError as error:
        return Outcome(case.id, FAILED, describe_os_error(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = f"{networks.runs[0].info.name}: case {case.id} needs more memory than there is"
        return Outcome(case.id, FAILED, reason)


def _predict(networks: Networks, case: Case, folder: Path, *, probabilities: bool) -> Outcome:
    output = folder / f"{file_name_of(case.id)}{ENDING}"
    record_file = folder / f"{file_name_of(case.id)}.json"
    wanted = _describe(networks, case)
    done = _find_done(output, record_file, wanted)
    if done is not None and (not probabilities or name_probabilities(output).is_file()):
        return Outcome(case.id, KEPT, volumes_ml=done.volumes_ml)
    # first, so that a label file without a record is never ours
    write_durably(record_file, _to_json(wanted))
    with tempfile.TemporaryDirectory() as scratch:
        found = segment_case(networks, case, Path(scratch), probabilities=probabilities)
    written = write_prediction(found, case, networks.runs[0].info, output)
    complete = replace(wanted, sha256=_hash_file(output), volumes_ml=written.volumes_ml)
    write_durably(record_file, _to_json(complete))
    return Outcome(case.id, WRITTEN, volumes_ml=written.volumes_ml)


def _find_done(output: Path, record_file: Path, wanted: Record) -> Record | None:
    """Return the record of a label file that was made from the same; None if there is no file.

    Raises: DataError if there is a file of another origin.
    """
    if not output.exists():
        return None
    hint = "give another --output, or delete it"
    if not record_file.is_file():
        raise DataError(f"{output}: is there already, of unknown origin ({hint})")
    try:
        found = read_record(record_file, Record, hint)
    except FileError as error:
        raise DataError(str(error)) from None
    if replace(found, sha256="", volumes_ml=None) != wanted:
        raise DataError(
            f"{output}: is there already, made by other runs or of other files ({hint})"
        )
    if found.sha256 and found.sha256 != _hash_file(output):
        raise DataError(f"{output}: has changed since it was written ({hint})")
    return found


def _describe(networks: Networks, case: Case) -> Record:
    runs = {run.header.run_id: run.header.delta_sha256 for run in networks.runs}
    inputs = {channel: _hash_file(path) for channel, path in case.images.items()}
    return Record(case.id, runs, inputs, networks.min_vox)


def _hash_file(path: Path) -> str:
    with naming(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _to_json(record: Record) -> str:
    return json.dumps(asdict(record), indent=1)
