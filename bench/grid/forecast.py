"""When runs will have ended: by the speed of each phase, as measured by the runs so far."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.cost.phases import Pace, Units, mean_pace, pace_of, predict_s, schedule_s
from bench.run.watch.progress import Stand
from bench.specs.run import RunSpec
from reports.records.cost import PhaseTime


@dataclass
class _Active:
    began: float
    told: float  # when ``stand`` came
    stand: Stand | None = None


class Forecast:
    """The time left of runs, and of all of them on a number of slots.

    A phase takes as long as it did so far in the run itself; else in runs of the same method on the
    same data; else in the other runs. Times are readings of one clock, in seconds.
    """

    def __init__(
        self, specs: Sequence[RunSpec], units: Mapping[str, Units], n_slots: int | None = None
    ) -> None:
        """Begin with no run at work.

        Args:
            specs: the runs, in their order.
            units: of each run, by its id, as far as they are known.
            n_slots: None: as many as go on at once.
        """
        self.kinds = {spec.run_id: kind_of(spec) for spec in specs}
        self.units = units
        self.n_slots = n_slots
        self.waiting = dict.fromkeys(self.kinds)  # in their order
        self.active: dict[str, _Active] = {}
        self.times: dict[str, tuple[PhaseTime, ...]] = {}  # of runs of this command
        self.before: dict[str, list[Pace]] = {}  # of earlier runs, by kind
        self.extra_s: list[float] = []  # of each run that ended, what no phase has

    def learn(self, spec: RunSpec, times: Iterable[PhaseTime]) -> None:
        """Note the times of a run that ended before."""
        self.before.setdefault(kind_of(spec), []).append(pace_of(times))

    def start(self, run_id: str, now: float) -> None:
        self.waiting.pop(run_id, None)
        self.active[run_id] = _Active(now, now)

    def advance(self, run_id: str, stand: Stand, now: float) -> None:
        active = self.active.setdefault(run_id, _Active(now, now))
        active.stand = stand
        active.told = now
        self.times[run_id] = stand.times

    def end(self, run_id: str, times: tuple[PhaseTime, ...], now: float) -> None:
        """Note the end of a run; ``times`` are empty if it has not reached its end."""
        self.waiting.pop(run_id, None)
        active = self.active.pop(run_id, None)
        if not times:
            return
        self.times[run_id] = times
        if active is not None:
            took_s = sum(each.seconds for each in times)
            self.extra_s.append(max(0.0, now - active.began - took_s))

    def left_of(self, run_id: str, now: float) -> float | None:
        """Return the seconds until a run ends that goes on; None: not known yet."""
        return self._left_of(run_id, now, self._mean_paces())

    def left(self, now: float) -> float | None:
        """Return the seconds until all runs have ended; None: not known yet."""
        paces = self._mean_paces()
        busy_s = [self._left_of(run_id, now, paces) for run_id in self.active]
        waiting_s = [self._predict(run_id, paces) for run_id in self.waiting]
        known_s = [each for each in (*busy_s, *waiting_s) if each is not None]
        if len(known_s) < len(busy_s) + len(waiting_s):
            return None
        n_slots = max(1, self.n_slots or 0, len(self.active))
        return schedule_s(known_s[: len(busy_s)], known_s[len(busy_s) :], n_slots)

    def share(self, run_id: str, now: float) -> float:
        """Return how much of a run that goes on is done, by its time."""
        left_s = self.left_of(run_id, now)
        if left_s is None:
            return 0.0
        passed_s = now - self.active[run_id].began
        return passed_s / max(passed_s + left_s, 1e-9)

    def _left_of(self, run_id: str, now: float, paces: Mapping[str, Pace]) -> float | None:
        active = self.active[run_id]
        stand = active.stand
        done = stand.times if stand is not None else ()
        whole_s = self._predict(run_id, paces, done)
        return None if whole_s is None else max(0.0, whole_s - (now - active.told))

    def _predict(
        self, run_id: str, paces: Mapping[str, Pace], done: tuple[PhaseTime, ...] = ()
    ) -> float | None:
        known = {**paces[""], **paces.get(self.kinds[run_id], {}), **pace_of(done)}
        extra_s = fmean(self.extra_s) if self.extra_s else 0.0
        units = self.units.get(run_id)
        if units is None:
            return None
        left_s = predict_s(units, known, done)
        return None if left_s is None else left_s + extra_s

    def _mean_paces(self) -> dict[str, dict[str, float]]:
        """Return the mean pace of each kind of run, and under "" that of all kinds."""
        known: dict[str, list[Pace]] = {kind: list(paces) for kind, paces in self.before.items()}
        for run_id, times in self.times.items():
            known.setdefault(self.kinds[run_id], []).append(pace_of(times))
        means = {kind: mean_pace(paces) for kind, paces in known.items()}
        means[""] = mean_pace(list(means.values()))
        return means


def kind_of(spec: RunSpec) -> str:
    """Return what runs have in common that take as long for a unit of each phase."""
    return f"{spec.method} {spec.dataset}"
