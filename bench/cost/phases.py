"""The phases of a run: what each took, and from that what is left."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.cost.compiling import work_s
from reports.records.cost import PhaseTime

# In their order; fit and validate take turns. Their units:
PREPARE = "prepare"  # the whole: from the start of the process to the first batch
FIT = "fit"  # a batch
VALIDATE = "validate"  # an inner validation case
WRITE = "write"  # the whole: the trained weights are written and read back
SCORE = "score"  # a held-out case
MEASURE = "measure"  # the whole
PHASES = (PREPARE, FIT, VALIDATE, WRITE, SCORE, MEASURE)
BRIEF = (PREPARE, WRITE)  # nothing is lost if their time is not known

Units = Mapping[str, int]  # of each phase, how many
Pace = Mapping[str, float]  # of each phase that is known, the seconds of a unit


@dataclass(frozen=True)
class Advance:
    """A step of a run.

    Attributes:
        phase: of `PHASES`.
        done: epochs of a fit, cases of a validation or of the scoring, ended so far.
        total: of these.
        units: of the phase that ended with this step.
        loss: mean of the epoch so far.
        val_dice: of the last validation.
    """

    phase: str
    done: int
    total: int
    units: int = 1
    loss: float | None = None
    val_dice: float | None = None


class PhaseClock:
    """Assigns time to phases: what passes before a step belongs to the phase of the step.

    Compiling belongs to none.
    """

    def __init__(self, now: Callable[[], float] = work_s) -> None:
        self.now = now
        self.last = now()
        self.times: dict[str, PhaseTime] = {}

    def tick(self, phase: str, units: int = 1) -> None:
        """Note that so many units of a phase have just ended."""
        now = self.now()
        took_s = now - self.last
        self.last = now
        before = self.times.get(phase)
        if before is None:
            self.times[phase] = PhaseTime(phase, units, took_s, took_s)
        else:
            n_units, seconds = before.units + units, before.seconds + took_s
            self.times[phase] = PhaseTime(phase, n_units, seconds, before.first_s)

    def include(self, times: Iterable[PhaseTime]) -> None:
        """Add the time of phases in an earlier process."""
        for each in times:
            own = self.times.get(each.phase, PhaseTime(each.phase, 0, 0.0, 0.0))
            n_units, seconds = each.units + own.units, each.seconds + own.seconds
            self.times[each.phase] = PhaseTime(each.phase, n_units, seconds, each.first_s)

    @property
    def recorded(self) -> tuple[PhaseTime, ...]:
        """The time of each phase so far."""
        return tuple(self.times.values())


def pace_of(times: Iterable[PhaseTime]) -> dict[str, float]:
    """Return the seconds of a unit of each phase; the first unit, a warm-up, counts if alone."""
    pace = {}
    for each in times:
        if each.units > 1:
            pace[each.phase] = (each.seconds - each.first_s) / (each.units - 1)
        elif each.units == 1:
            pace[each.phase] = each.seconds
    return pace


def mean_pace(paces: Sequence[Pace]) -> dict[str, float]:
    """Return the mean seconds of a unit of each phase over those that know it."""
    found = {}
    for phase in PHASES:
        known = [pace[phase] for pace in paces if phase in pace]
        if known:
            found[phase] = sum(known) / len(known)
    return found


def complete_pace(pace: Pace) -> dict[str, float]:
    """Return a pace with what is not known taken from other phases, as far as these are known.

    To score a case takes as long as to validate one. Measuring repeats a step and a volume.
    """
    full = dict.fromkeys(BRIEF, 0.0) | dict(pace)
    for missing, similar in ((SCORE, VALIDATE), (VALIDATE, SCORE)):
        if missing not in full and similar in full:
            full[missing] = full[similar]
    if MEASURE not in full and FIT in full and VALIDATE in full:
        full[MEASURE] = 2 * (full[FIT] + full[VALIDATE])
    return full


def predict_s(units: Units, pace: Pace, done: Iterable[PhaseTime] = ()) -> float | None:
    """Return the seconds that the units take beside those that are done; None: not known."""
    n_done = {each.phase: each.units for each in done}
    full = complete_pace(pace)
    left_s = 0.0
    for phase, n_units in units.items():
        n_left = n_units - n_done.get(phase, 0)
        if n_left <= 0:
            continue
        if phase not in full:
            return None
        left_s += n_left * full[phase]
    return left_s


def schedule_s(busy_s: Sequence[float], waiting_s: Iterable[float], n_slots: int) -> float:
    """Return the seconds until all has ended; what waits begins in order, where a slot is free.

    Args:
        busy_s: seconds until each of the slots that work is free.
        waiting_s: of each that waits.
        n_slots: in all; those that are not busy are free.
    """
    free_s = [*busy_s, *[0.0] * (n_slots - len(busy_s))]
    for length_s in waiting_s:
        first = free_s.index(min(free_s))
        free_s[first] += length_s
    return max(free_s, default=0.0)
