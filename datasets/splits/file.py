"""nnU-Net's ``splits_final.json``: a list of folds, each with the ids to train on and, as ``val``, those held out."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.base import Case, DataError
from datasets.splits.rule import Split, split_cases, split_rest

SPLITS_FILE = "splits_final.json"
AUTO, RULE = "auto", "rule"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitFile:
    """A file of folds; each is (training ids, held-out ids)."""

    path: Path
    sha256: str
    folds: tuple[tuple[frozenset[str], frozenset[str]], ...]


def find_split_file(asked: str, root: Path) -> SplitFile | None:
    """Return the file that ``data.splits`` asks for: under ``auto`` that of the data root, if there is one.

    Raises: DataError if it does not exist or is no such file.
    """
    path = root / SPLITS_FILE if asked == AUTO else Path(asked)
    if asked == RULE or (asked == AUTO and not path.is_file()):
        return None
    return read_split_file(path)


def read_split_file(path: Path) -> SplitFile:
    """Return the folds of a file.

    Raises: DataError if it does not exist or is no such file.
    """
    if not path.is_file():
        raise DataError(f"splits: no file {path} (data.splits takes a file, {AUTO} or {RULE})")
    content = path.read_bytes()
    try:
        folds = tuple(_read_fold(fold) for fold in json.loads(content))
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f'splits: {path} must be a list of {{"train": [ids], "val": [ids]}}, as nnU-Net writes it'
        ) from None
    for number, (train, held_out) in enumerate(folds):
        if not train or not held_out or train & held_out:
            shared = f"{len(train & held_out)} in both"
            raise DataError(
                f"splits: fold {number} of {path} must have cases on either side and none on both, got {len(train)} to "
                f"train on, {len(held_out)} held out, {shared}"
            )
    return SplitFile(path, hashlib.sha256(content).hexdigest(), folds)


def split_by_file(
    file: SplitFile, cases: Sequence[Case], fold: int, val_frac: float, known: Collection[str]
) -> Split:
    """Return a fold of the file; the inner validation part is drawn from its training ids.

    ``cases`` are those to be used. Ids of the file that are not among them but ``known`` (without a
    label, or left out on request) are passed over.

    Raises: DataError if there is no such fold, an id is not known at all, or too little is left.
    """
    if not 0 <= fold < len(file.folds):
        raise DataError(
            f"splits: {file.path} has {len(file.folds)} folds, got fold {fold} (--folds)"
        )
    train, held_out = file.folds[fold]
    usable = {case.id: case for case in cases}
    unknown = sorted((train | held_out) - usable.keys() - set(known))
    if unknown:
        raise DataError(
            f"splits: {file.path} names {len(unknown)} cases that are not below the root, such as {unknown[0]} "
            f"(ids here look like {min(usable, default='none')}; data.splits={RULE} leaves the file alone)"
        )
    rest = [case for case in cases if case.id in train]
    test = [case for case in cases if case.id in held_out]
    if not test:
        raise DataError(f"splits: fold {fold} of {file.path} holds out no case that can be used")
    shared = {case.patient for case in rest} & {case.patient for case in test}
    if shared:
        log.warning(
            "%s: fold %d trains and tests on the same patient, such as %s",
            file.path,
            fold,
            min(shared),
        )
    return split_rest(rest, test, fold, val_frac)


def write_split_file(path: Path, cases: Sequence[Case], n_folds: int) -> None:
    """Write the folds of the rule in nnU-Net's form.

    Raises: DataError if there are too few patients or the file exists.
    """
    if path.exists():
        raise DataError(f"splits: {path} is there already (give another --out)")
    folds = []
    for fold in range(n_folds):
        split = split_cases(cases, fold, n_folds)
        folds.append({"train": sorted(split.train + split.val), "val": list(split.test)})
    path.write_text(json.dumps(folds, indent=4) + "\n")


def _read_fold(fold: dict[str, list[str]]) -> tuple[frozenset[str], frozenset[str]]:
    parts = fold["train"], fold["val"]
    if not all(
        isinstance(part, list) and all(isinstance(case, str) for case in part) for part in parts
    ):
        raise TypeError
    return frozenset(parts[0]), frozenset(parts[1])
