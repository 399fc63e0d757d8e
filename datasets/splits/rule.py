"""Folds: nnU-Net's rule, by patient.

Patients, sorted as strings, are shuffled with a fixed seed and cut into consecutive folds, which
gives the same folds as scikit-learn's KFold in nnU-Net v2 where each patient has one case. The
inner validation part is drawn from the training part, and few-shot subsets of both are nested.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
        """A short hash of who is where."""
        text = "\n".join(",".join(part) for part in (self.train, self.val, self.test))
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:12]


def split_cases(
    cases: Sequence[Case], fold: int, n_folds: int = 5, val_frac: float = 0.2, seed: int = SEED
) -> Split:
    """Return fold ``fold`` (from 0) as the test part and the rest as training and inner validation.

    All cases of a patient go to one part. ``val_frac`` is the share of the patients outside the
    test part, rounded, at least one patient; 0 leaves the validation part empty.

    Raises: DataError if there are too few patients; ValueError if a number is out of range.
    Reference: Isensee et al. 2021, Nature Methods 18:203-211 (the rule: nnU-Net v2,
    crossval_split).
    """
    if n_folds < 2:
        raise ValueError(f"splits: n_folds must be >= 2, got {n_folds}")
    if not 0 <= fold < n_folds:
        raise ValueError(f"splits: fold must be in 0..{n_folds - 1}, got {fold}")
    if not 0 <= val_frac < 1:
        raise ValueError(f"splits: val_frac must be in [0, 1), got {val_frac}")
    patients = sorted({case.patient for case in cases})
    if len(patients) < max(n_folds, 3):
        raise DataError(
            f"splits: {n_folds} folds need at least {max(n_folds, 3)} labelled patients, got {len(patients)}"
        )
    held_out = _draw_folds(patients, n_folds, seed)[fold]
    test = [case for case in cases if case.patient in held_out]
    rest = [case for case in cases if case.patient not in held_out]
    return split_rest(rest, test, fold, val_frac, seed)


def split_rest(
    rest: Sequence[Case], test: Sequence[Case], fold: int, val_frac: float, seed: int = SEED
) -> Split:
    """Return a fold whose held-out part is decided: the rest is cut, by patient, into training and validation part.

    Raises: DataError if there are too few patients.
    """
    patients = sorted({case.patient for case in rest})
    if val_frac > 0 and len(patients) < 2:
        raise DataError(
            f"splits: fold {fold} must leave 2 patients to train and to select on, got {len(patients)}"
        )
    val = _draw_val(patients, val_frac, seed + fold)
    train = set(patients) - val
    return Split(_ids_of(rest, train), _ids_of(rest, val), tuple(sorted(case.id for case in test)))


def draw_shots(split: Split, shots: int, fold: int, seed: int = SEED) -> Split:
    """Return the split with ``shots`` training cases and no more validation cases than that; 0 leaves it as it is.

    A smaller number draws a subset of what a larger one draws, whatever the run's seed. Validation
    cases carry labels as well, so that few shots with many of them would be few in name only.

    Raises: DataError if the training part has fewer cases.
    """
    if shots == 0:
        return split
    if shots > len(split.train):
        raise DataError(
            f"splits: data.shots must be at most the {len(split.train)} training cases of fold {fold}, got {shots}"
        )

    def draw(ids: tuple[str, ...]) -> tuple[str, ...]:
        order = np.random.RandomState(seed + fold).permutation(len(ids))
        return tuple(sorted(ids[index] for index in order[:shots]))

    return replace(split, train=draw(split.train), val=draw(split.val))


def _draw_folds(patients: Sequence[str], n_folds: int, seed: int) -> list[set[str]]:
    order = np.arange(len(patients))
    np.random.RandomState(seed).shuffle(order)
    return [{patients[index] for index in chunk} for chunk in np.array_split(order, n_folds)]


def _draw_val(patients: Sequence[str], val_frac: float, seed: int) -> set[str]:
    if val_frac == 0:
        return set()
    count = min(max(1, round(val_frac * len(patients))), len(patients) - 1)
    return {
        patients[index] for index in np.random.RandomState(seed).permutation(len(patients))[:count]
    }


def _ids_of(cases: Sequence[Case], patients: set[str]) -> tuple[str, ...]:
    return tuple(sorted(case.id for case in cases if case.patient in patients))
