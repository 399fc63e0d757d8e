"""One trial of a study: train on the inner training cases, score on the inner validation cases, report every epoch.

The held-out cases are behind the firewall of the fold, and nothing in here has the key.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from math import nan
from typing import Any

import torch

import methods
from bench.cost import measure
from bench.cost.memory import describe_out_of_memory, is_out_of_memory
from bench.run.fold import build_training_data, load_fold
from bench.run.inference import build_predictor
from bench.run.network import build_fabric, build_model, execute_as, put_method
from bench.run.training import DivergedError, fit
from bench.specs.run import Place, RunSpec, derive_seed
from methods.base import MissingRole
from reports.records.run import Status


def run_inner(spec: RunSpec, place: Place, send: Callable[[tuple[Any, ...]], None]) -> None:
    """Carry out a trial in this process.

    Sends ("validation", number, Dice of each inner validation case, tuned parameters, seconds of
    fit) every time, and at last ("end", status, Dice at the best epoch, tuned parameters, seconds
    of fit, reason).
    """
    torch.set_num_threads(place.threads)
    protocol = spec.own_protocol
    n_tuned, started = 0, time.perf_counter()
    numbers = count()

    def on_validation(dices: tuple[float, ...]) -> None:
        send(("validation", next(numbers), dices, n_tuned, time.perf_counter() - started))

    def end(status: Status, dice: float, reason: str = "") -> None:
        send(("end", status, dice, n_tuned, time.perf_counter() - started, reason))

    try:
        fabric = build_fabric(place.device, protocol.train.precision)
        fold = load_fold(spec, place.cache, place.folder)
        model = build_model(spec, len(fold.info.channels), len(fold.info.classes))
        put_method(model, spec, methods.build(spec.method.name, dict(spec.method.settings)))
        execute_as(model, place)
        n_tuned = measure.count_parameters(model).tuned
        torch.manual_seed(derive_seed("train", spec.seed))
        predict = build_predictor(model, protocol.data.patch, protocol.eval, fabric)
        data = build_training_data(spec, fold.train, fold.val, fold.dataset, predict, on_validation)
        started = time.perf_counter()
        fitted = fit(model, data, protocol.train, fabric, lambda phase, done, total: None)
    except MissingRole as error:
        end(Status.SKIPPED, nan, str(error))
    except DivergedError as error:
        end(Status.DIVERGED, nan, str(error))
    except Exception as error:  # the trial's failure is its outcome; the study goes on
        if is_out_of_memory(error):
            end(Status.OOM, nan, describe_out_of_memory(error, place.device))
        else:
            end(Status.FAILED, nan, f"{type(error).__name__}: {error}")
    else:
        end(Status.DONE, fitted.best_val_dice)
