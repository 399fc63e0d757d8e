"""SIGKILL at random moments of one run: what is computed again, and whether the result is the same.

    python -m benchmarks.runs.resume [--kills 20] [--train-s 60] [--interval-s 1.5] [--overhead]

The run is a LoRA with dropout on synthetic cases. A process carries it out in its folder, as a job
does, and is killed; the next one goes on. The script prints each moment, the batch that the run had
come to, the one that it went on from, and the seconds of training that were done again, which must
not exceed the interval between two checkpoints and a step. Curve, weights and scores must be those
of the undisturbed run to the last bit.

With `--overhead`: the size of a checkpoint of ViT-B/16, and how long it takes to write one.
"""

import random
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from bench.grid.attempt import begin_attempt, end_attempt
from bench.specs.protocol import DataSpec, ModelSpec, Protocol, TrainSpec
from bench.specs.run import Means, MethodSpec, Place, RunSpec
from reports.records.run import RESULT_FILE, RunResult, Status, read_result

SEED = 19
STEPS = "steps.log"  # a line for each batch: its number in the run, and the system's clock
TRAINING = 0.8  # share of the kills that are counted from the first batch
PATCH = (4, 32, 32)
EQUAL = ("status", "curve", "best_epoch", "chosen_sha256", "cases")


@dataclass(frozen=True)
class Life:
    """What one process has done of the run: batches by number, and when."""

    moments: dict[int, float]

    @property
    def first(self) -> int | None:
        return min(self.moments, default=None)

    @property
    def last(self) -> int | None:
        return max(self.moments, default=None)

    @property
    def longest_s(self) -> float:
        """The longest time from batch to batch, with a checkpoint or a validation between them."""
        moments = sorted(self.moments.values())
        return max((later - earlier for earlier, later in pairwise(moments)), default=0.0)


def make_spec(root: Path, n_batches: int) -> RunSpec:
    """Return a run of ten epochs with so many batches in all."""
    data = DataSpec(patch=PATCH, patches_per_epoch=2 * max(1, n_batches // 10), n_folds=3)
    train = TrainSpec(epochs=10, batch=2, val_every=5)
    method = MethodSpec("lora", (("dropout", "0.1"),))
    return RunSpec(method, "brats", "abc", 0, 0, Protocol(data, ModelSpec(), train), root)


def live(folder: Path, root: Path, n_batches: int, interval_s: float) -> None:
    """Work on the run in a folder until its end, or until this process is killed."""
    from bench.run.execute import execute_run
    from bench.run.watch import progress

    progress.SEND_S = 0.0
    attempt = begin_attempt(folder)
    place = Place(attempt, root.parent / "cache", "cpu", Means(checkpoint_s=interval_s))
    with (folder / STEPS).open("a", encoding="utf-8") as steps:

        def send(phase: str, stand: progress.Stand) -> None:
            done = {each.phase: each.units for each in stand.times}
            if phase == "fit":
                steps.write(f"{done.get('fit', 0)} {time.monotonic()}\n")
                steps.flush()

        execute_run(make_spec(root, n_batches), place, send)
    end_attempt(folder)


def start(folder: Path, root: Path, n_batches: int, interval_s: float) -> subprocess.Popen[bytes]:
    """Start a process that works on the run."""
    folder.mkdir(exist_ok=True)
    (folder / STEPS).write_text("", encoding="utf-8")
    given = [str(folder), str(root), str(n_batches), str(interval_s)]
    command = [sys.executable, "-m", "benchmarks.runs.resume", "--live", *given]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def read_life(folder: Path) -> Life:
    """Return what the last process in a folder has done; its last line may be cut."""
    moments = {}
    for line in (folder / STEPS).read_text(encoding="utf-8").splitlines():
        number, _, moment = line.partition(" ")
        if moment.count(".") == 1:
            moments.setdefault(int(number), float(moment))
    return Life(moments)


def read_whole(folder: Path) -> RunResult:
    result = read_result(folder)
    assert result is not None, (folder / "log").read_text(encoding="utf-8")
    assert result.status is Status.DONE, result.traceback
    return result


def kill_often(scratch: Path, n_kills: int, train_s: float, interval_s: float) -> list[str]:
    """Kill a run so many times, let it end, and return what is wrong."""
    from datasets.phantoms.write import write_phantoms

    root = scratch / "brats"
    write_phantoms("brats", root, 6, shape=(16, 32, 32))
    n_batches = choose_length(scratch, root, train_s)
    whole = scratch / "whole"
    assert start(whole, root, n_batches, interval_s).wait() == 0, (whole / "log").read_text(
        encoding="utf-8"
    )
    expected = read_whole(whole)
    assert expected.cost is not None
    sentence = f"undisturbed: {n_batches} batches, {expected.cost.fit_s:.1f} s of training"
    print(f"{sentence}; a checkpoint every {interval_s:g} s")
    print("kill  after s  came to batch  went on from  again s")
    problems = kill_run(Killed(scratch / "run", root, n_batches, interval_s), n_kills, train_s)
    for found in (read_whole(folder) for folder in scratch.glob("run*") if folder.is_dir()):
        for name in EQUAL:
            if getattr(found, name) != getattr(expected, name):
                problems.append(f"{name} differs from the undisturbed run's")
        weights = found.chosen_sha256[:12]
        print(f"ended with weights {weights}, gone on {found.interruptions} times")
    return problems


def choose_length(scratch: Path, root: Path, train_s: float) -> int:
    """Return how many batches take so long, by a short run."""
    folder = scratch / "short"
    assert start(folder, root, 40, 3600.0).wait() == 0, (folder / "log").read_text(encoding="utf-8")
    moments = read_life(folder).moments
    pace_s = (moments[30] - moments[10]) / 20
    return max(40, int(train_s / pace_s) // 10 * 10)


@dataclass(frozen=True)
class Killed:
    """A run that is killed."""

    folder: Path
    root: Path
    n_batches: int
    interval_s: float

    def start(self) -> subprocess.Popen[bytes]:
        return start(self.folder, self.root, self.n_batches, self.interval_s)

    def has_ended(self) -> bool:
        return (self.folder / RESULT_FILE).is_file()

    def look_at(self, number: int, delay_s: float, before: Life) -> tuple[Life, list[str]]:
        """Print what the last process has done; return it, and what is wrong."""
        life = read_life(self.folder)
        again_s = measure_again(before, life)
        when = f"{number:4}  {delay_s:7.2f}" if number else "the end      "
        print(
            f"{when}  {life.last or '-':>13}  {life.first or '-':>12}  {again_s:7.2f}", flush=True
        )
        problems = []
        if again_s > self.interval_s + before.longest_s:
            problems.append(f"kill {number}: {again_s:.2f} s were computed again")
        return (life if life.moments else before), problems


def kill_run(run: Killed, n_kills: int, train_s: float) -> list[str]:
    """Kill a run so many times, one after another that has ended; return what is wrong."""
    rng = random.Random(SEED)
    problems: list[str] = []
    before = Life({})
    number = n_runs = 0
    while number < n_kills:
        if run.has_ended():
            n_runs += 1
            run = replace(run, folder=run.folder.with_name(f"run{n_runs}"))
            before = Life({})
        delay_s = rng.uniform(0, 2 * train_s / n_kills)
        process = run.start()
        if wait_for_moment(process, run.folder, delay_s, in_training=rng.random() < TRAINING):
            process.kill()
            process.wait()
            number += 1
        before, found = run.look_at(number, delay_s, before)
        problems += found
    if not run.has_ended():
        run.start().wait()
        problems += run.look_at(0, 0.0, before)[1]
    return problems


def wait_for_moment(
    process: subprocess.Popen[bytes], folder: Path, delay_s: float, *, in_training: bool
) -> bool:
    """Wait so long, after the first batch or the start; return whether the process is alive."""
    while in_training and process.poll() is None and not (folder / STEPS).stat().st_size:
        time.sleep(0.01)
    try:
        process.wait(delay_s)
    except subprocess.TimeoutExpired:
        return True
    return False


def measure_again(before: Life, life: Life) -> float:
    """Return the seconds of an earlier life that a later one does again."""
    if life.first is None or before.last is None or life.first > before.last:
        return 0.0
    began = before.moments.get(life.first, min(before.moments.values()))
    return before.moments[before.last] - began


def measure_overhead() -> None:
    """Print the size of a checkpoint and the seconds to write it, for two methods on ViT-B/16."""
    import torch
    from lightning_fabric import Fabric

    import methods
    from bench.models.backbones.info import Blueprint
    from bench.models.build import build_segmenter
    from bench.models.segmenter import apply_method
    from bench.run.resume.account import Spent
    from bench.run.resume.file import Checkpoint, Header, write_checkpoint
    from bench.run.resume.folder import CHECKPOINT_FILE
    from bench.run.training.course import begin_course
    from bench.run.training.snapshot import NoKeeper

    patch = (1, 64, 64)
    for name in ("lora", "full"):
        plain = Blueprint("vit_b16")
        model = build_segmenter(plain, in_channels=4, n_classes=4, patch=patch, seed=0)
        apply_method(model, methods.build(name), seed=0)
        fabric = Fabric(accelerator="cpu", devices=1)

        def draw(epoch: int) -> list[dict[str, torch.Tensor]]:
            label = torch.zeros(1, *patch, dtype=torch.int64)
            return [{"image": torch.randn(1, 4, *patch), "label": label}]

        course = begin_course(model, draw, 1, TrainSpec(), fabric, NoKeeper())
        course.train_epoch(draw, lambda loss: None)
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            snapshot = course.take()
            header = Header({}, snapshot.position, Spent(), ())
            write_checkpoint(Path(folder), Checkpoint(header, snapshot))
            took_s = time.perf_counter() - started
            size_mib = (Path(folder) / CHECKPOINT_FILE).stat().st_size / 2**20
        share = took_s / 600
        print(f"vit_b16 {name:5} {size_mib:7.1f} MiB, {took_s:.2f} s, {share:.2%} of 10 minutes")


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--train-s", type=float, default=60.0)
    parser.add_argument("--interval-s", type=float, default=1.5)
    parser.add_argument("--overhead", action="store_true")
    parser.add_argument("--live", nargs=4)
    arguments = parser.parse_args()
    if arguments.live:
        folder, root, n_batches, interval_s = arguments.live
        live(Path(folder), Path(root), int(n_batches), float(interval_s))
        return 0
    if arguments.overhead:
        measure_overhead()
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        timing = (arguments.train_s, arguments.interval_s)
        problems = kill_often(Path(scratch), arguments.kills, *timing)
    print("\n".join(problems) or "equal to the undisturbed run, nothing lost but an interval")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
