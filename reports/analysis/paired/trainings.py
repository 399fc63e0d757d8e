"""Several trainings per method: the design that their folds and seeds are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.analysis.paired.folds import LEAST_FOLDS, FoldsDesign
from reports.analysis.paired.seeds import SeedsDesign

LEAST_TRAININGS = 3  # per method; below, nothing is said of differences between trainings
Design = SeedsDesign | FoldsDesign


def find_design(runs: pd.DataFrame) -> Design | None:
    """Return the variances of scores, or None where they cannot be estimated.

    That is: fewer than `LEAST_TRAININGS` trainings per method, other trainings for some methods,
    two folds of one seed, or not two cases more than folds.

    Args:
        runs: index (fold, seed, case), a column per method. Where a case is undefined for a
            training, it has the average of the method's other trainings; where it is undefined for
            all trainings of a method, it is left out for all methods.
    """
    blocks = collect_blocks(runs)
    n_seeds = [len(block) for block in blocks]
    n_cases = sum(block.shape[1] for block in blocks)
    if sum(n_seeds) < LEAST_TRAININGS or n_cases < len(blocks) + 2:
        return None
    if sum(n_seeds) - len(blocks) >= len(blocks) - 1:
        return SeedsDesign.of(blocks)
    return FoldsDesign.of(blocks) if len(blocks) >= LEAST_FOLDS else None


def collect_blocks(runs: pd.DataFrame) -> list[np.ndarray]:
    """Return the scores of each fold, (seeds, cases, methods); none if methods lack trainings."""
    if runs.empty:
        return []
    values = runs.to_numpy(float)
    codes = {name: runs.index.get_level_values(name) for name in ("fold", "seed", "case")}
    blocks = []
    for fold in codes["fold"].unique():
        mine = codes["fold"] == fold
        seeds, n_seeds = _number(codes["seed"][mine])
        cases, n_cases = _number(codes["case"][mine])
        block = np.full((n_seeds, n_cases, values.shape[1]), np.nan)
        block[seeds, cases] = values[mine]
        known = ~np.isnan(block)
        if not known.any(axis=1).all():  # a method lacks this training
            return []
        defined = known.any(axis=0).all(axis=1)
        if defined.any():
            block = block[:, defined]
            blocks.append(np.where(known[:, defined], block, np.nanmean(block, axis=0)))
    return blocks


def _number(names: pd.Index) -> tuple[np.ndarray, int]:
    """Return the number of each name among the different ones, and how many these are."""
    numbers, different = pd.factorize(names)
    return numbers, len(different)
