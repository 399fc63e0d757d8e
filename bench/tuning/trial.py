"""One trial of a study: train on the inner training cases, score on the inner validation cases.

The held-out cases are behind the firewall of the fold, and nothing in here has the key.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from math import nan

from bench.cost.measure import count_parameters
from bench.run.ending import DONE, ending_of
from bench.run.setup import set_up
from bench.specs.run import Place, RunSpec


def carry_out_trial(spec: RunSpec, place: Place, send: Callable[..., None]) -> None:
    """Carry out a trial in this process.

    Calls ``send("validation", number, Dice of each inner validation case, tuned parameters, seconds
    of fit)`` every time, and last ``send("end", status, Dice at the best epoch, tuned parameters,
    seconds of fit, reason)``.
    """
    n_tuned, started = 0, time.perf_counter()
    numbers = count()

    def on_validation(dices: tuple[float, ...]) -> None:
        send("validation", next(numbers), dices, n_tuned, time.perf_counter() - started)

    dice, ending = nan, DONE
    try:
        setup = set_up(spec, place, on_validation=on_validation)
        n_tuned = count_parameters(setup.model).tuned
        started = time.perf_counter()
        dice = setup.fit(lambda phase, done, total: None).best_val_dice
    except Exception as error:  # the trial's failure is its outcome; the study goes on
        ending = ending_of(error, place.device)
    fit_s = time.perf_counter() - started
    send("end", ending.status, dice, n_tuned, fit_s, ending.reason)
