"""Trials that are formulas instead of networks, and what tests ask of them."""

import math
from dataclasses import replace

from bench.tuning.space import Dimension
from reports.records.run import Status
from reports.records.study import PRUNED

SPACE = (
    Dimension("train.lr", 1e-3, (), 1e-5, 1.0, log=True),
    Dimension("method.rank", 8, (4, 8, 16)),
)


def end(trial, dice=None, status=Status.DONE, **fields):
    return replace(trial, status=status, dice=dice, **{"fit_s": 1.0} | fields)


def bowl(trial, report):
    """A method that learns only near a learning rate of 0.03, 30 times its default."""
    distance = math.log10(trial.values["train.lr"] / 0.03)
    dice = math.exp(-8 * distance**2)
    return end(trial, dice, params_tuned=trial.values["method.rank"])


def suggestions(study):
    return [trial.params for trial in study.trials]


def learning(trial, report):
    """A curve of four validations that rises to what `bowl` gives; hopeless ones are stopped."""
    dice = bowl(trial, report).dice
    for validation in range(4):
        if report(validation, (dice * (validation + 1) / 4,)):
            return end(trial, dice, PRUNED)
    return end(trial, dice)
