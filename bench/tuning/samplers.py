"""Optuna's samplers and pruners for a budget."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from bench.specs.protocol import TuneSpec
from bench.specs.run import derive_seed

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


def has_two_objectives(tune: TuneSpec) -> bool:
    """Return whether the number of parameters is an objective beside Dice."""
    return "," in tune.objectives


def build_sampler(tune: TuneSpec, *draw: str | int) -> BaseSampler:
    """Return the sampler of one draw: (number of the trial) or (number, key of the dimension)."""
    from optuna import samplers
    from optuna.exceptions import ExperimentalWarning

    seed = derive_seed("sampler", tune.seed, *draw)
    n_startup = min(10, max(3, tune.trials // 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if tune.sampler == "gp":
            return samplers.GPSampler(seed=seed, n_startup_trials=n_startup)
        if tune.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        if tune.sampler == "cmaes":
            return samplers.CmaEsSampler(seed=seed, n_startup_trials=n_startup)
        if tune.sampler == "qmc":  # a sequence, numbered in the study: one scrambling for all of it
            return samplers.QMCSampler(seed=tune.seed, scramble=True)
    if has_two_objectives(tune):
        return samplers.NSGAIISampler(seed=seed, population_size=max(4, tune.trials // 4))
    return samplers.TPESampler(seed=seed, n_startup_trials=n_startup)


def build_pruner(tune: TuneSpec) -> BasePruner:
    """Return the pruner; Optuna can prune for one objective only."""
    from optuna import pruners
    from optuna.exceptions import ExperimentalWarning

    if has_two_objectives(tune) or tune.pruner == "none":
        return pruners.NopPruner()
    if tune.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=min(5, max(2, tune.trials // 4)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=4)
