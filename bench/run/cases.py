"""The cases of a run and the fold that they are divided by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import datasets
from bench.specs.protocol import DataSpec
from bench.specs.run import RunSpec
from datasets.base import Case, DataError, Dataset
from datasets.splits.file import find_split_file, split_by_file
from datasets.splits.rule import Split, draw_shots, split_cases

if TYPE_CHECKING:
    from datasets.prepared.keys import Preparation


def open_data(spec: RunSpec) -> Dataset:
    """Return the data set of a run; nothing is read yet."""
    return datasets.open_root(spec.dataset, spec.root)


def find_used(dataset: Dataset, spec: RunSpec) -> list[Case]:
    """Return the labelled cases that the run's folds are made of.

    Raises: DataError if the root has changed since the run was planned.
    """
    return dataset.find_labelled(spec.protocol.data.exclude, {case for case, _ in spec.left_out})


def preparation_of(data: DataSpec) -> Preparation:
    """Return the settings of the protocol that prepared arrays depend on."""
    from datasets.prepared.keys import Preparation

    return Preparation(data.spacing_mm, data.crop)


def split_of(dataset: Dataset, cases: Sequence[Case], spec: RunSpec) -> Split:
    """Return the fold of a run, from a file of folds or by the rule, cut down to its shots.

    Raises: DataError if the file is not the one that the run was planned with, or does not fit.
    """
    data = spec.protocol.data
    file = find_split_file(data.splits, dataset.root)
    if (file.sha256 if file else "") != spec.splits_sha256:
        change = "have changed since the run was planned"
        raise DataError(f"splits: the folds of {dataset.root} {change}")
    if file is None:
        split = split_cases(cases, spec.fold, n_folds=data.n_folds, val_frac=data.val_frac)
    else:
        known = {case.id for case in dataset.discovery.cases} | {case for case, _ in spec.left_out}
        split = split_by_file(file, cases, spec.fold, data.val_frac, known)
    return draw_shots(split, data.shots, spec.fold)
