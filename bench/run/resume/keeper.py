"""When a training is written to disk, and when it ends early."""

import json
import logging
import socket
import time
from collections.abc import Callable
from math import inf

from bench.run.firewall import read_clock
from bench.run.interruption import end_if_asked, is_asked
from bench.run.resume.account import Account, Spent
from bench.run.resume.file import (
    Checkpoint,
    CheckpointError,
    Header,
    read_checkpoint,
    write_checkpoint,
)
from bench.run.resume.folder import add_resumption, forget_resumptions, remove_checkpoints
from bench.run.resume.owner import Owner
from bench.run.training.snapshot import Snapshot
from bench.specs.run import Place
from datasets.files import describe_os_error

Take = Callable[[], Snapshot]

log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of a run, or of a tuning trial, in the folder of its place.

    Attributes:
        found: what the training goes on from.
        validations: the Dice of each case, at each validation so far.
        slices_per_chunk: that the training goes through the backbone with; None: it is to be
            chosen.
    """

    def __init__(self, place: Place, account: Account, *, is_strict: bool = True) -> None:
        """``is_strict``: something else's checkpoint is an error; otherwise it is removed."""
        self.place = place
        self.interval_s = place.means.checkpoint_s or inf
        self.account = account
        self.is_strict = is_strict
        self.owner: Owner = {}
        self.found: Snapshot | None = None
        self.validations: list[tuple[float, ...]] = []
        self.slices_per_chunk: int | None = None
        self.last = time.monotonic()
        self.take: Take | None = None  # of the step before the validation that goes on

    def open(self, owner: Owner) -> None:
        """Look for a checkpoint of this owner. Raises: CheckpointError if it is another's."""
        self.owner = owner
        folder = self.place.folder
        try:
            checkpoint = read_checkpoint(folder, owner)
        except CheckpointError as error:
            if self.is_strict:
                raise
            log.warning("%s; it was removed", error)
            remove_checkpoints(folder)
            checkpoint = None
        if checkpoint is None:
            forget_resumptions(folder)
            return
        self.found = checkpoint.snapshot
        self.validations = [*checkpoint.header.validations]
        self.slices_per_chunk = checkpoint.header.slices_per_chunk
        self.account.take_over(checkpoint.header.spent)
        position = checkpoint.header.position
        log.info("goes on from step %d, in epoch %d", position.n_steps, position.epoch)
        where = {"epoch": position.epoch, "step": position.n_steps}
        line = {"at": read_clock(), "node": socket.gethostname()} | where
        add_resumption(folder, json.dumps(line))

    def reach(self, take: Take, *, is_validated: bool = False) -> float:
        """Write a checkpoint if one is due; return the seconds that it took.

        Raises: Interrupted if the run is asked to end, after a checkpoint.
        """
        self.take = None
        waited_s = time.monotonic() - self.last
        is_due = is_validated or is_asked() or waited_s >= self.interval_s
        if not is_due:
            return 0.0
        took_s = self._write(take)
        end_if_asked()
        return took_s

    def begin_validation(self, take: Take) -> None:
        self.take = take

    def note_validation(self, dices: tuple[float, ...]) -> None:
        """Keep the Dice of each case, for those who have to hear of them again."""
        self.validations.append(dices)

    def look(self) -> None:
        """Write a checkpoint and end, if that is asked for in the middle of a validation."""
        if self.take is not None and is_asked():
            self._write(self.take)
            end_if_asked()

    def _write(self, take: Take) -> float:
        started = time.monotonic()
        spent: Spent = self.account.total()
        snapshot = take()
        validations = tuple(self.validations)
        header = Header(self.owner, snapshot.position, spent, validations, self.slices_per_chunk)
        try:
            write_checkpoint(self.place.folder, Checkpoint(header, snapshot))
        except OSError as error:  # no reason to end the run
            log.warning("no checkpoint was written: %s", describe_os_error(error))
        self.account.note_writing()
        self.last = time.monotonic()
        return self.last - started
