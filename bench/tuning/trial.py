"""One trial of a study: train on the inner training cases, score on the inner validation cases.

The held-out cases are behind the firewall of the fold, and nothing in here has the key.
"""

import time
from collections.abc import Callable
from typing import Any

from bench.cost.measure import count_parameters
from bench.run.interruption import Interrupted
from bench.run.setup import DONE, Hooks, ending_of, set_up
from bench.run.watch.progress import Recorder, forget_progress
from bench.run.watch.work import count_trial
from bench.specs.run import Place, RunSpec
from datasets.files import make_folder


def carry_out_trial(spec: RunSpec, place: Place, send: Callable[..., None]) -> None:
    """Carry out a trial in this process.

    Calls ``send(Dice of each inner validation case, known fields of the TrialRecord)`` after every
    validation, and last ``send(None, all of its fields)``. In between, ``send(phase, stand)`` tells
    how far it is.
    """
    n_tuned, started = 0, time.perf_counter()

    def known() -> dict[str, Any]:
        return {"params_tuned": n_tuned, "fit_s": time.perf_counter() - started}

    dice, ending = None, DONE
    make_folder(place.folder)
    recorder = Recorder(place.folder, place.device, send)
    hooks = Hooks(on_validation=lambda dices: send(dices, known()), on_progress=recorder.advance)
    try:
        setup = set_up(spec, place, hooks)
        own = spec.own_protocol
        recorder.expect(count_trial(own, len(setup.fold.val)), own.train.batch)
        n_tuned = count_parameters(setup.model).tuned
        started = time.perf_counter()
        dice = setup.fit().best_val_dice
    except Interrupted:
        raise
    except (Exception, SystemExit) as error:  # the trial's failure is its outcome
        ending = ending_of(error, place.device)
    forget_progress(place.folder)
    send(None, known() | {"status": ending.status, "dice": dice, "reason": ending.reason})
