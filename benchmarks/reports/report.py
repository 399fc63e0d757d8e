"""How long `report` takes for large stores, and whether it does without torch.

    python -m benchmarks.reports.report [--only tables]

The stores are made from a formula: 1,000 runs, 10,000 cases of three methods, 200 methods. Time is
that of the whole command, imports included, and memory that of its largest process. CPU seconds
are of the command without the processes that draw pictures; they say more than those of the clock
where other programs run. Python's bytecode is kept, as it is by default. What is imported is asked
of another command, for a few runs. Exit code 1 if a goal, in seconds of the clock, is missed or
torch is imported.
"""

import resource
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.child import run_in_child, run_program
from benchmarks.reports.made_store import METHODS, fill_store, make_large, make_runs
from reports.records.run import RunResult


@dataclass(frozen=True)
class Job:
    """A report of a store, and what it may take."""

    what: str
    make: Callable[[], list[RunResult]]
    options: tuple[str, ...]
    goal_s: float
    goal_mib: float = float("inf")


@dataclass(frozen=True)
class Taken:
    """What a command took."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def make_thousand() -> list[RunResult]:
    return make_runs(1000)


def make_many_cases() -> list[RunResult]:
    return make_large(n_cases=10_000, n_methods=3)


def make_many_methods() -> list[RunResult]:
    return make_large(n_cases=20, n_methods=200)


FOLDER = ("--figures", "--out", "report")
JOBS = {
    "tables": Job("1,000 runs, tables", make_thousand, (), 4),
    "figures": Job("1,000 runs, all figures", make_thousand, FOLDER, 12),
    "cases": Job("10,000 cases, all tables", make_many_cases, ("--kind", "all"), 10, 500),
    "methods": Job("200 methods, tables", make_many_methods, (), 15),
}


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=JOBS)
    only = parser.parse_args().only
    print(f"{'':26}{'goal':>8}{'wall':>8}{'CPU':>8}{'peak':>11}")
    missed = False
    for name, job in JOBS.items():
        if only in (None, name):
            taken = run_in_child(carry_out, name)  # a peak is that of the largest child so far
            goal = f"{job.goal_s:.0f} s"
            measured = f"{taken.wall_s:>6.1f} s{taken.cpu_s:>6.1f} s{taken.peak_mib:>7.0f} MiB"
            print(f"{job.what:26}{goal:>8}{measured}", flush=True)
            missed |= taken.wall_s > job.goal_s or taken.peak_mib > job.goal_mib
    print(f"memory of {JOBS['cases'].what}: at most {JOBS['cases'].goal_mib:.0f} MiB")
    if run_in_child(imports_torch):
        print("torch was imported")
        missed = True
    return int(missed)


def carry_out(name: str) -> Taken:
    """Make the store of a job and its report; return what the report took."""
    job = JOBS[name]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fill_store(folder, job.make())
        return report(folder, job.options)


def report(folder: Path, options: tuple[str, ...]) -> Taken:
    """Make the report of the store in ``folder``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    run_program(folder, ["report", *options])
    wall_s = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user_s = after.ru_utime - before.ru_utime
    system_s = after.ru_stime - before.ru_stime
    return Taken(wall_s, user_s + system_s, after.ru_maxrss / 1024)


def imports_torch() -> bool:
    """Return whether a report of all figures, of a run of each method, imports torch."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fill_store(folder, make_runs(len(METHODS)))
        errors = run_program(folder, ["report", *FOLDER], "-X", "importtime")
    return any(line.rpartition("|")[2].strip() == "torch" for line in errors.splitlines())


if __name__ == "__main__":
    sys.exit(main())
