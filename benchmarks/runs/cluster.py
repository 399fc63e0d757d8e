"""What a grid of many jobs costs the command that follows it, with kills at random.

    python -m benchmarks.runs.cluster [--cells 1000] [--kills 50] [--at-once 8]

The jobs go through submitit's local executor and the code of `--executor slurm`; a stub stands for
the training. Four of five kills end a job, the others the command, whose place a new one takes. The
seconds of CPU are those of the command alone: submitting, following, reading results and, apart,
sending them to MLflow.
"""

import sys
import tempfile
import threading
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil
from submitit import LocalExecutor, LocalJob

from bench.grid.attempt import begin_attempt, end_attempt
from bench.grid.executors.cluster import Cluster, GridOfJobs
from bench.grid.executors.follow import Pace
from bench.grid.executors.job import RunJob, work_in
from bench.grid.executors.ledger import JOBS, SIGN_FILE
from bench.grid.executors.queue import ENDED, QUEUED, RUNNING, Job
from bench.grid.runner import Event
from bench.specs.protocol import Protocol
from bench.specs.run import RUNS, MethodSpec, RunSpec, run_folder
from reports.records.run import CaseScore, RunResult, Status, read_result

LIMIT_S = 0.3  # of the command's CPU for a run
PACE = Pace(poll_s=0.5, settle_s=2.0, submit_s=1.0, again_s=1.0)
SEED = 19


class CommandKilledError(Exception):
    """The command that follows the jobs is gone; its jobs go on."""


def train_stub(folder: str) -> None:
    """Do what a job does, with a sleep for the training."""
    work_in(Path(folder), RunJob, _sleep_and_write)


def _sleep_and_write(folder: Path, spec: RunJob, device: object) -> str:
    attempt = begin_attempt(folder)
    time.sleep(Random(folder.name).uniform(0.1, 1.0))
    run = spec.run
    scores = tuple(CaseScore(f"c{number}", "WT", 0.5, 3.0, 9, 9, 5) for number in range(8))
    RunResult(
        run_id=run.run_id, status=Status.DONE, reason="", method=run.method.name, settings={},
        label=run.method.name, dataset=run.dataset, backbone=run.backbone, weights="none",
        fold=run.fold, seed=run.seed, protocol_id=run.protocol_id, protocol=run.protocol_record(),
        synthetic=True, cases=scores,
    ).write(attempt)  # fmt: skip
    end_attempt(folder)
    return ""


@dataclass
class LocalQueue:
    """submitit's local executor as a queue: it starts so many at once, and outlives a command."""

    folder: Path
    at_once: int
    waiting: list[tuple[str, int, Path]] = field(default_factory=list)
    started: dict[tuple[str, int], LocalJob[None]] = field(default_factory=dict)
    submitted: Counter[Path] = field(default_factory=Counter)

    def submit(self, folders: Sequence[Path], name: str, at_once: int | None) -> list[str]:
        for index, folder in enumerate(folders):
            self.waiting.append((name, index, folder))
            self.submitted[folder] += 1
        return [""] * len(folders)  # the numbers of processes are not known yet

    def list_jobs(self, names: Collection[str]) -> list[Job]:
        states = {key: job.state for key, job in self.started.items()}
        for _ in range(self.at_once - Counter(states.values())["RUNNING"]):
            if self.waiting:
                name, index, folder = self.waiting.pop(0)
                executor = LocalExecutor(self.folder / name)
                self.started[name, index] = executor.submit(train_stub, str(folder))
                states[name, index] = "RUNNING"
        jobs = []
        for (name, index), state in states.items():
            phase = RUNNING if state == "RUNNING" else ENDED
            jobs.append(Job(self.started[name, index].job_id, name, index, phase, state))
        jobs += [Job("", name, index, QUEUED, "PENDING") for name, index, _ in self.waiting]
        return [job for job in jobs if job.name in names]

    def cancel(self, job_ids: Collection[str]) -> None:
        raise NotImplementedError

    def find_log(self, name: str, job_id: str) -> Path:
        return self.folder / name


class Killer(threading.Thread):
    """Kills jobs at random moments; at others it asks the command to die at its next look."""

    def __init__(self, queue: LocalQueue, runs: Path, n_kills: int, n_cells: int) -> None:
        super().__init__(daemon=True)
        self.queue = queue
        self.runs = runs
        self.random = Random(SEED)
        self.moments = sorted(self.random.sample(range(5, n_cells), n_kills))  # jobs started
        self.kills: Counter[str] = Counter()
        self.dies = False

    def run(self) -> None:
        for number, moment in enumerate(self.moments):
            while len(self.queue.started) < moment:
                time.sleep(0.05)
            if number % 5 == 4:
                self.dies = True
                self.kills["command"] += 1
            else:
                self._kill_job()

    def _kill_job(self) -> None:
        while True:
            running = [job for job in list(self.queue.started.values()) if job.state == "RUNNING"]
            if running:
                process = psutil.Process(self.random.choice(running)._process.pid)
                with suppress(psutil.NoSuchProcess):
                    for each in [*process.children(), process]:
                        each.kill()
                    self.kills["job"] += 1
                    return
            time.sleep(0.05)


def make_specs(root: Path, n_cells: int) -> list[RunSpec]:
    protocol = Protocol()
    method = MethodSpec("linear")
    return [RunSpec(method, "brats2020", "abc", 0, seed, protocol, root) for seed in range(n_cells)]


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--at-once", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return follow_many(Path(scratch), arguments.cells, arguments.kills, arguments.at_once)


def follow_many(out: Path, n_cells: int, n_kills: int, at_once: int) -> int:
    queue = LocalQueue(out / JOBS, at_once)
    specs = make_specs(out, n_cells)
    killer = Killer(queue, out / RUNS, n_kills, n_cells)
    began, cpu = time.monotonic(), time.process_time()
    killer.start()
    n_commands = 1
    while True:
        try:
            carry_out(queue, specs, out, killer)
            break
        except CommandKilledError:
            n_commands += 1
    wall_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
    lost = [spec for spec in specs if not is_done(out, spec)]
    again = sum(count - 1 for count in queue.submitted.values())
    kills = killer.kills
    print(f"{n_cells} cells, {kills['job']} jobs and {kills['command']} commands killed")
    print(f"lost {len(lost)}, submitted again {again}, {n_commands} commands, {wall_s:.0f} s")
    print(f"CPU of the commands: {cpu_s / n_cells:.3f} s a run (limit {LIMIT_S} s)")
    print(f"sending to MLflow:   {send_all(out, specs):.3f} s a run")
    is_kept = not lost and again <= kills["job"] and cpu_s / n_cells <= LIMIT_S
    return 0 if is_kept else 1


def carry_out(queue: LocalQueue, specs: list[RunSpec], out: Path, killer: Killer) -> None:
    """Do what a command does, from its start to the end of all runs, unless it is killed."""
    ended = set()

    def on_event(event: Event) -> None:
        if event.result is not None:
            ended.add(event.spec.run_id)
        if killer.dies:
            killer.dies = False
            raise CommandKilledError

    cluster = Cluster(queue, "cpu", pace=PACE)
    grid = GridOfJobs(cluster, specs, out, on_event, print)
    grid.submit(force=False)
    grid.follow()
    assert len(ended) == len(specs)


def is_done(out: Path, spec: RunSpec) -> bool:
    folder = run_folder(out, spec)
    result = read_result(folder)
    return result is not None and result.status is Status.DONE and (folder / SIGN_FILE).is_file()


def send_all(out: Path, specs: list[RunSpec]) -> float:
    """Return the seconds of CPU that sending a result to MLflow takes, of the first 50."""
    from bench.tracking.publishing import Tracker
    from bench.tracking.store import open_store

    store = open_store(f"sqlite:///{out / 'mlflow.db'}")
    tracker = Tracker(out, store)
    sent = specs[:50]
    cpu = time.process_time()
    for spec in sent:
        folder = run_folder(out, spec)
        result = read_result(folder)
        assert result is not None
        tracker.send(result, folder)
    return (time.process_time() - cpu) / len(sent)


if __name__ == "__main__":
    sys.exit(main())
