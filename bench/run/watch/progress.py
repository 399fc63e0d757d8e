"""How far a run is, in a file of its attempt, for whoever wants to know."""

import json
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.cost.phases import (
    FIT,
    MEASURE,
    PREPARE,
    SCORE,
    VALIDATE,
    WRITE,
    Advance,
    PhaseClock,
    Units,
    pace_of,
    predict_s,
)
from datasets.files import FileError, read_record
from reports.records.cost import PhaseTime

PROGRESS_FILE = "progress.json"
WRITE_S = 2.0  # the least time between two writes
SEND_S = 0.5  # and between two messages
LOG_S = 60.0  # and between two lines of the run's log
WORDS = {PREPARE: "preparing", WRITE: "writing the weights", MEASURE: "measuring cost"}
COUNTED = {FIT: "epoch", VALIDATE: "validating", SCORE: "scoring"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stand:
    """How far a run is.

    Attributes:
        phase: of `bench.cost.phases`.
        done: of ``total``: epochs of the fit, cases of a validation or of the scoring.
        left_s: until the run ends, at the speed of its own phases; None: not known yet.
        node: name of the machine.
        pid: of the process.
        units: of each phase, in all.
        times: of each phase, so far.
        batch: patches of a batch.
        loss: mean of the epoch so far.
        val_dice: of the last validation.
        memory_mib: the largest so far, of the device or, on a CPU, of the process.
    """

    phase: str
    done: int
    total: int
    left_s: float | None
    node: str
    pid: int
    units: dict[str, int] = field(default_factory=dict)
    times: tuple[PhaseTime, ...] = ()
    batch: int = 1
    loss: float | None = None
    val_dice: float | None = None
    memory_mib: float | None = None

    @property
    def samples_per_s(self) -> float | None:
        """Patches of training a second."""
        batch_s = pace_of(self.times).get(FIT)
        return self.batch / batch_s if batch_s else None


def describe_phase(stand: Stand) -> str:
    """Return in words what a run does: "epoch 3/20", "scoring 12/73", "measuring cost"."""
    if stand.phase in COUNTED:
        return f"{COUNTED[stand.phase]} {stand.done}/{stand.total}"
    return WORDS.get(stand.phase, stand.phase)


def describe_stand(stand: Stand, left_s: float | None) -> str:
    """Return in words how far a run is, with what is known of it and the time left."""
    parts = [describe_phase(stand)]
    if stand.loss is not None:
        parts.append(f"loss {stand.loss:.4f}")
    if stand.val_dice is not None:
        parts.append(f"validation Dice {100 * stand.val_dice:.1f} %")
    if stand.samples_per_s is not None:
        parts.append(f"{stand.samples_per_s:.3g} samples/s")
    parts.append("ETA unknown" if left_s is None else f"ETA {format_time(left_s)}")
    if stand.memory_mib is not None:
        parts.append(f"{stand.memory_mib / 1024:.2f} GiB")
    return ", ".join(parts)


def format_time(seconds: float) -> str:
    """Return a length of time as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


class Recorder:
    """Writes how far a run is into its folder and its log, and sends it to the command."""

    def __init__(self, folder: Path, device: str, send: Callable[[str, Stand], None]) -> None:
        """``send`` is called as ``send(phase, stand)``."""
        self.folder = folder
        self.device = device
        self.send = send
        self.clock = PhaseClock()
        self.units: Units = {}
        self.batch = 1
        self.current = Advance(PREPARE, 0, 0)
        self.epoch = 0
        self.loss: float | None = None
        self.val_dice: float | None = None
        self.last = dict.fromkeys(("write", "send", "log"), -float("inf"))
        self._tell(is_new=True)

    def expect(self, units: Units, batch: int) -> None:
        """Note that the run is prepared, how much it has to do, and the patches of a batch."""
        self.units = units
        self.batch = batch
        self.clock.tick(PREPARE)

    def begin(self, phase: str, total: int = 0) -> None:
        """Note that a phase begins, of so many cases."""
        self.current = Advance(phase, 0, total)
        self._tell(is_new=True)

    def advance(self, step: Advance) -> None:
        """Note a step of the run."""
        self.clock.tick(step.phase, step.units)
        is_new = step.phase == FIT and step.done > self.epoch
        self.current = step
        self.epoch = step.done if step.phase == FIT else self.epoch
        self.loss = self.loss if step.loss is None else step.loss
        self.val_dice = self.val_dice if step.val_dice is None else step.val_dice
        self._tell(is_new=is_new or step.done == step.total)

    def stand(self) -> Stand:
        """Return how far the run is."""
        times = self.clock.recorded
        left_s = predict_s(self.units, pace_of(times), times) if self.units else None
        current = self.current
        return Stand(
            current.phase,
            current.done,
            current.total,
            left_s,
            socket.gethostname(),
            os.getpid(),
            dict(self.units),
            times,
            self.batch,
            self.loss,
            self.val_dice,
            self._read_memory(),
        )

    def _read_memory(self) -> float | None:
        if not self.units:
            return None
        import torch  # readers of progress need neither of these

        from bench.cost.memory import peak_memory_mib

        return peak_memory_mib(torch.device(self.device))

    def _tell(self, *, is_new: bool) -> None:
        """Tell how far the run is to all that have not been told lately, or to all if it is new."""
        now = time.monotonic()
        is_due = {
            "write": is_new or now - self.last["write"] >= WRITE_S,
            "send": is_new or now - self.last["send"] >= SEND_S,
            "log": now - self.last["log"] >= LOG_S,
        }
        if not any(is_due.values()):
            return
        stand = self.stand()
        for name in is_due:
            self.last[name] = now if is_due[name] else self.last[name]
        if is_due["write"]:
            _replace_file(self.folder / PROGRESS_FILE, json.dumps(asdict(stand)))
        if is_due["send"]:
            self.send(stand.phase, stand)
        if is_due["log"]:
            log.info(describe_stand(stand, stand.left_s))


def forget_progress(folder: Path) -> None:
    """Remove the file of a run that has ended."""
    (folder / PROGRESS_FILE).unlink(missing_ok=True)


def read_progress(folder: Path) -> Stand | None:
    """Return how far the run of an attempt is, or None if it has not begun."""
    try:
        return read_record(folder / PROGRESS_FILE, Stand, "the run writes it anew")
    except (FileError, OSError):
        return None


def _replace_file(file: Path, text: str) -> None:
    """Write a file whole; it need not survive a power cut, so nothing waits for the disk."""
    unfinished = file.with_name(f".{os.getpid()}.partial.{file.name}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(file)
