"""One trial of a study: train on the inner training cases, score on the inner validation cases.

The held-out cases are behind the firewall of the fold, and nothing in here has the key.
"""

from collections.abc import Callable
from typing import Any

from bench.cost.measure import count_parameters
from bench.run.interruption import Interrupted
from bench.run.resume.account import Account
from bench.run.resume.keeper import Checkpoints
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
    make_folder(place.folder)
    recorder = Recorder(place.folder, place.device, send)
    account = Account(recorder.clock, place.device)
    n_tuned = 0

    def known() -> dict[str, Any]:
        return {"params_tuned": n_tuned, "fit_s": account.wall_s}

    checkpoints = None
    if place.means.checkpoint_s is not None:
        checkpoints = Checkpoints(place, account, is_strict=False)
    dice, ending = None, DONE
    hooks = Hooks(
        on_validation=lambda dices: send(dices, known()),
        on_progress=recorder.advance,
        checkpoints=checkpoints,
    )
    try:
        setup = set_up(spec, place, hooks)
        own = spec.own_protocol
        recorder.expect(count_trial(own, len(setup.fold.val)), own.train.batch)
        n_tuned = count_parameters(setup.model).tuned
        for dices in checkpoints.validations if checkpoints else ():  # before an interruption
            send(dices, known())
        account.restart()
        dice = setup.fit().best_val_dice
    except Interrupted:
        raise
    except (Exception, SystemExit) as error:  # the trial's failure is its outcome
        ending = ending_of(error, place.device)
    forget_progress(place.folder)
    send(None, known() | {"status": ending.status, "dice": dice, "reason": ending.reason})
