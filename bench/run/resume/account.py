"""What a run has used, over all processes that have worked on it."""

import time
from dataclasses import dataclass

import torch

from bench.cost.compiling import compile_s
from bench.cost.memory import peak_memory_mib
from bench.cost.phases import WRITE, PhaseClock
from bench.cost.timing import Energy
from reports.records.cost import PhaseTime


@dataclass(frozen=True)
class Spent:
    """What was used until a checkpoint. What was computed after it, and lost, is not in it.

    Attributes:
        wall_s: seconds in all, of what the caller counts.
        energy_j: of training; None: it was not measured all the time.
        peak_memory_mib: the largest of any process.
        compile_s: of the seconds, those of compiling.
    """

    wall_s: float = 0.0
    phases: tuple[PhaseTime, ...] = ()
    energy_j: float | None = 0.0
    peak_memory_mib: float = 0.0
    compile_s: float = 0.0


class Account:
    """Adds what this process uses to what others have used before it."""

    def __init__(self, clock: PhaseClock, device: str) -> None:
        self.clock = clock
        self.device = torch.device(device)
        self.started = time.perf_counter()
        self.compiled_before_s = compile_s()  # by this process, for another run
        self.energy: Energy | None = None  # of this process, since its training began
        self.earlier = Spent()
        self.others_mib = 0.0  # the largest memory of other processes that share the run

    def take_over(self, earlier: Spent) -> None:
        """Add what was used before the checkpoint that this process goes on from."""
        self.earlier = earlier
        self.clock.include(earlier.phases)

    def restart(self) -> None:
        """Leave out what this process has used so far."""
        self.started = time.perf_counter()

    def note_writing(self) -> None:
        """Count what has just passed as writing."""
        self.clock.tick(WRITE, 0)

    @property
    def wall_s(self) -> float:
        return self.earlier.wall_s + time.perf_counter() - self.started

    @property
    def compile_s(self) -> float:
        return self.earlier.compile_s + compile_s() - self.compiled_before_s

    @property
    def energy_j(self) -> float | None:
        own = None if self.energy is None else self.energy.read()
        if own is None or self.earlier.energy_j is None:
            return None
        return self.earlier.energy_j + own

    @property
    def peak_memory_mib(self) -> float:
        return max(self.earlier.peak_memory_mib, self.others_mib, peak_memory_mib(self.device))

    def total(self) -> Spent:
        """Return what was used so far."""
        return Spent(
            self.wall_s, self.clock.recorded, self.energy_j, self.peak_memory_mib, self.compile_s
        )
