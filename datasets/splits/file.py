"""Files of folds, as nnU-Net's ``splits_final.json``; ``val`` is the part that is held out."""

import hashlib
import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from datasets.base import Case, DataError
from datasets.files import read_text, write_durably
from datasets.splits.rule import Split, patients_of, split_cases, split_rest

SPLITS_FILE = "splits_final.json"
AUTO, RULE = "auto", "rule"

log = logging.getLogger(__name__)


class Fold(BaseModel):
    """The ids of one fold."""

    train: frozenset[str]
    val: frozenset[str]  # the part that is held out


@dataclass(frozen=True)
class SplitFile:
    """A file of folds."""

    path: Path
    sha256: str
    folds: tuple[Fold, ...]


def find_split_file(asked: str, root: Path) -> SplitFile | None:
    """Return the file that ``data.splits`` asks for; DataError if it is missing or invalid."""
    path = root / SPLITS_FILE if asked == AUTO else Path(asked)
    if asked == RULE or (asked == AUTO and not path.is_file()):
        return None
    if not path.is_file():
        raise DataError(f"splits: no file {path} (data.splits takes a file, {AUTO} or {RULE})")
    form = 'a list of {"train": [ids], "val": [ids]}, as nnU-Net writes it'
    content = path.read_bytes()
    try:
        folds = TypeAdapter(tuple[Fold, ...]).validate_json(read_text(path, form))
    except ValidationError:
        raise DataError(f"splits: {path} must be {form}") from None
    for number, fold in enumerate(folds):
        n_shared = len(fold.train & fold.val)
        if not fold.train or not fold.val or n_shared:
            raise DataError(
                f"splits: fold {number} of {path} must have cases on either side and none on both, "
                f"got {len(fold.train)} to train on, {len(fold.val)} held out, {n_shared} in both"
            )
    _refuse_overlap(path, folds)
    return SplitFile(path, hashlib.sha256(content).hexdigest(), folds)


def _refuse_overlap(path: Path, folds: Sequence[Fold]) -> None:
    """Raise DataError if a case is held out twice: statistics over folds would count it twice."""
    first: dict[str, int] = {}
    for number, fold in enumerate(folds):
        for case in sorted(fold.val):
            if first.setdefault(case, number) != number:
                rule = f"{path} must hold each case out in one fold"
                got = f"{case} in folds {first[case]} and {number}"
                hint = "for repeated divisions, a file each and --set data.splits=FILE"
                raise DataError(f"splits: {rule}, got {got} ({hint})")


def split_by_file(
    file: SplitFile, cases: Sequence[Case], fold: int, val_frac: float, known: Collection[str]
) -> Split:
    """Return a fold of the file; the inner validation part is drawn from its training ids.

    The file may name ids that are not in ``cases``, if they are ``known``.

    Raises: DataError if there is no such fold, an id is not known at all, or too little is left.
    """
    if not 0 <= fold < len(file.folds):
        rule = f"{file.path} has {len(file.folds)} folds"
        raise DataError(f"splits: {rule}, got fold {fold} (--folds)")
    ids = file.folds[fold]
    usable = {case.id for case in cases}
    unknown = sorted((ids.train | ids.val) - usable - set(known))
    if unknown:
        raise DataError(
            f"splits: {file.path} names {len(unknown)} cases that are not below the root, such as "
            f"{unknown[0]} (ids here look like {min(usable, default='none')}; "
            f"data.splits={RULE} leaves the file alone)"
        )
    rest = [case for case in cases if case.id in ids.train]
    test = [case for case in cases if case.id in ids.val]
    if not test:
        raise DataError(f"splits: fold {fold} of {file.path} holds out no case that can be used")
    shared = set(patients_of(rest)) & set(patients_of(test))
    if shared:
        text = "%s: fold %d trains and tests on the same patient, such as %s"
        log.warning(text, file.path, fold, min(shared))
    return split_rest(rest, test, fold, val_frac)


def write_split_file(path: Path, cases: Sequence[Case], n_folds: int) -> None:
    """Write the folds of the rule; raise DataError if patients are too few or the file exists."""
    if path.exists():
        raise DataError(f"splits: {path} is there already (give another --out)")
    folds = []
    for fold in range(n_folds):
        split = split_cases(cases, fold, n_folds)
        folds.append({"train": sorted(split.train + split.val), "val": list(split.test)})
    write_durably(path, json.dumps(folds, indent=4) + "\n")
