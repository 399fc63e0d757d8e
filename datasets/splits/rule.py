"""Folds: nnU-Net's rule, by patient.

Patients, sorted as strings, are shuffled with a fixed seed and cut into consecutive folds, which
gives the same folds as scikit-learn's KFold in nnU-Net v2 where each patient has one case. The
inner validation part is drawn from the training part, and few-shot subsets of both are nested.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from datasets.base import Case, DataError

SEED = 12345  # nnU-Net's


@dataclass(frozen=True)
class Split:
    """Case ids of one fold, each part sorted."""

    train: tuple[str, ...]
    val: tuple[str, ...]  # selects the epoch and the settings
    test: tuple[str, ...]  # read once, after selection

    @property
    def hash(self) -> str:
        """A short hash of which case is in which part."""
        text = "\n".join(map(",".join, (self.train, self.val, self.test)))
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:12]


def split_cases(
    cases: Sequence[Case], fold: int, n_folds: int = 5, val_frac: float = 0.2, seed: int = SEED
) -> Split:
    """Return fold ``fold`` (from 0) as the test part, the rest as training and inner validation.

    All cases of a patient go to one part. ``val_frac`` is the share of the patients outside the
    test part, rounded, at least one patient; 0 leaves the validation part empty.

    Raises: DataError if there are too few patients; ValueError if a number is out of range.
    Reference: Isensee et al. 2021, Nature Methods 18:203-211 (nnU-Net v2, crossval_split).
    """
    if n_folds < 2:
        raise ValueError(f"splits: n_folds must be >= 2, got {n_folds}")
    if not 0 <= fold < n_folds:
        raise ValueError(f"splits: fold must be in 0..{n_folds - 1}, got {fold}")
    if not 0 <= val_frac < 1:
        raise ValueError(f"splits: val_frac must be in [0, 1), got {val_frac}")
    patients = patients_of(cases)
    least = max(n_folds, 3)
    if len(patients) < least:
        rule = f"{n_folds} folds need at least {least} labelled patients"
        raise DataError(f"splits: {rule}, got {len(patients)}")
    order = np.arange(len(patients))
    np.random.RandomState(seed).shuffle(order)
    held_out = _pick(patients, np.array_split(order, n_folds)[fold])
    test, rest = _divide(cases, held_out)
    return split_rest(rest, test, fold, val_frac, seed)


def split_rest(
    rest: Sequence[Case], test: Sequence[Case], fold: int, val_frac: float, seed: int = SEED
) -> Split:
    """Divide the rest, by patient, into training and validation; DataError for too few patients."""
    patients = patients_of(rest)
    if val_frac > 0 and len(patients) < 2:
        rule = f"fold {fold} must leave 2 patients to train and to select on"
        raise DataError(f"splits: {rule}, got {len(patients)}")
    val, train = _divide(rest, _draw_val(patients, val_frac, seed + fold))
    return Split(_ids_of(train), _ids_of(val), _ids_of(test))


def draw_shots(split: Split, shots: int, fold: int, seed: int = SEED) -> Split:
    """Return the split with ``shots`` training and at most as many validation cases; 0 keeps all.

    A smaller number draws a subset of what a larger one draws. Validation cases are as few, since
    they carry labels as well.

    Raises: DataError if the training part has fewer cases.
    """
    if shots == 0:
        return split
    if shots > len(split.train):
        rule = f"data.shots must be at most the {len(split.train)} training cases of fold {fold}"
        raise DataError(f"splits: {rule}, got {shots}")

    train, val = (draw_cases(ids, shots, fold, seed) for ids in (split.train, split.val))
    return replace(split, train=train, val=val)


def draw_cases(ids: Sequence[str], count: int, fold: int, seed: int = SEED) -> tuple[str, ...]:
    """Return ``count`` of some cases, sorted; all if there are no more, or if it is 0.

    A smaller number draws a subset of what a larger one draws.
    """
    if count == 0:
        return tuple(sorted(ids))
    order = np.random.RandomState(seed + fold).permutation(len(ids))
    return tuple(sorted(_pick(ids, order[:count])))


def patients_of(cases: Iterable[Case]) -> list[str]:
    """Return the patients of some cases, each once, sorted as strings."""
    return sorted({case.patient for case in cases})


def _draw_val(patients: Sequence[str], val_frac: float, seed: int) -> set[str]:
    if val_frac == 0:
        return set()
    count = min(max(1, round(val_frac * len(patients))), len(patients) - 1)
    return _pick(patients, np.random.RandomState(seed).permutation(len(patients))[:count])


def _pick(names: Sequence[str], indices: np.ndarray) -> set[str]:
    return {names[index] for index in indices}


def _divide(cases: Sequence[Case], patients: Collection[str]) -> tuple[list[Case], list[Case]]:
    """Return the cases of some patients, and all others."""
    inside = [case for case in cases if case.patient in patients]
    return inside, [case for case in cases if case.patient not in patients]


def _ids_of(cases: Sequence[Case]) -> tuple[str, ...]:
    return tuple(sorted(case.id for case in cases))
