"""The main job and single training steps on a GPU, as one prepared script of less than 8 minutes.

    python -m benchmarks.network.device
    python -m benchmarks.network.device --small --device cpu

First a training step of one patch of 4x32x128x128 voxels through ViT-B/16, fp32 and bf16
(autocast), each row in a process of its own: the ratio of bf16 for full and Med-Adapter, and what
cuDNN's search for the fastest convolutions, ``--compile`` and ``--checkpointing`` with chunks
change. Then the command `run` in bf16 with the methods of the paper on phantoms: patches a second,
and the share of the training in which the device computed (with nvidia-ml-py). Prints Markdown,
with the name of the card. Exit code 1 if a method does not end as done, or a goal is missed or was
not measured. ``--small`` is a dry run of a minute or two, whose figures mean nothing.
"""

import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.cost.phases import FIT
from bench.run.provenance import name_device
from bench.specs.presets import get_preset
from benchmarks.child import run_in_child
from benchmarks.network.training_step import Figures, measure
from datasets.phantoms.write import write_phantoms
from reports.records.run import RunResult, Status, read_result

ROOT = Path(__file__).resolve().parents[2]
GOALS = {"bf16, med_adapter": 2.0, "saving": 1.4, "busy": 0.85}
LIMIT_S = 480.0
N_CASES = 10  # five folds


@dataclass(frozen=True)
class Size:
    """What is measured: on a card, or as a dry run."""

    backbone: str
    patch: tuple[int, int, int]
    steps: int  # timed
    methods: str
    volume: tuple[int, int, int]  # of a phantom
    training: tuple[str, ...]  # options of the main job


LARGE = Size(
    "vit_b16",
    (32, 128, 128),
    10,
    "paper",
    (64, 192, 192),
    ("--epochs", "4", "--set", "data.patches_per_epoch=100", "--set", "train.val_every=4"),
)
SMALL = Size(
    "tiny_vit",
    (4, 32, 32),
    1,
    "linear,med_adapter",
    (16, 48, 48),
    ("--epochs", "1", "--max-steps", "2"),
)


@dataclass(frozen=True)
class Way:
    """How a step is computed."""

    title: str
    method: str = "med_adapter"
    precision: str = "bf16"
    checkpointing: bool = False
    n_chunks: int = 1
    compiled: bool = False
    searching: bool = False  # cuDNN's search


PLAIN = Way("med_adapter, bf16")
WAYS = (
    Way("full, fp32", "full", "fp32"),
    Way("full, bf16", "full"),
    Way("med_adapter, fp32", precision="fp32"),
    PLAIN,
    Way("cuDNN searches", searching=True),
    Way("--checkpointing", checkpointing=True),
    Way("--checkpointing, half of the slices", checkpointing=True, n_chunks=2),
    Way("--checkpointing, a quarter", checkpointing=True, n_chunks=4),
    Way("--compile", compiled=True),
)
N_PLAIN = 4  # of these


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--small", action="store_true", help="a dry run: tiny, without --compile")
    parser.add_argument("--skip-job", action="store_true", help="leave out the main job")
    arguments = parser.parse_args()
    size = SMALL if arguments.small else LARGE
    ends_at = time.monotonic() + LIMIT_S
    patch = "x".join(map(str, size.patch))
    card = name_device(arguments.device)
    print(f"{card}, torch {torch.__version__}, {size.backbone}, patches of 4x{patch} voxels\n")
    ways = [way for way in WAYS if not (arguments.small and way.compiled)]
    found = time_ways(ways, size, arguments.device, ends_at)
    missed = print_steps(found)
    if not arguments.skip_job:
        missed += print_job(size, arguments.device, ends_at)
    print("\n".join(["", *missed] if missed else ["", "all goals are reached"]))
    return int(bool(missed))


def time_ways(ways: list[Way], size: Size, device: str, ends_at: float) -> dict[str, Figures]:
    """Return the figures of a step by title, of those for which there is time."""
    found = {}
    for way in ways:
        if time.monotonic() < ends_at:
            found[way.title] = run_in_child(time_way, way, size, device)
    return found


def time_way(way: Way, size: Size, device: str) -> Figures:
    torch.backends.cudnn.benchmark = way.searching
    arguments = Namespace(
        backbone=size.backbone,
        patch=",".join(map(str, size.patch)),
        device=device,
        steps=size.steps,
        threads=torch.get_num_threads(),
        checkpointing=way.checkpointing,
        slices_per_chunk=size.patch[0] // way.n_chunks,
        compile=way.compiled,
    )
    return measure(arguments, way.method, way.precision)


def print_steps(found: Mapping[str, Figures]) -> list[str]:
    """Print the table of steps and their ratios; return the goals that are missed."""
    print("| step | ms | step MiB |\n| --- | ---: | ---: |")
    for title, figures in found.items():
        print(f"| {title} | {1000 * figures.seconds:.1f} | {figures.step_mib:.0f} |")
    print()
    seconds = {title: figures.seconds for title, figures in found.items()}
    missed = []
    for method in ("full", "med_adapter"):
        titles = f"{method}, fp32", f"{method}, bf16"
        if not all(title in seconds for title in titles):
            missed.append(f"missed: bf16, {method}: not measured")
            continue
        ratio = seconds[titles[0]] / seconds[titles[1]]
        print(f"bf16 is {ratio:.2f}x faster than fp32 ({method})")
        if ratio < GOALS.get(f"bf16, {method}", 0.0):
            missed.append(f"missed: bf16, {method}: {ratio:.2f}x")
    for title in [way.title for way in WAYS[N_PLAIN:] if way.title in seconds]:
        ratio = seconds[title] / seconds[PLAIN.title]
        print(f"{title}: {ratio:.2f}x the time of a plain step")
    chosen = seconds.get("--checkpointing")  # on a card that holds the step, all slices go at once
    if chosen is None:
        missed.append("missed: --checkpointing: not measured")
    elif chosen > GOALS["saving"] * seconds[PLAIN.title]:
        missed.append("missed: --checkpointing")
    return missed


def print_job(size: Size, device: str, ends_at: float) -> list[str]:
    """Carry out the main job and print its table; return the goals that are missed."""
    with tempfile.TemporaryDirectory() as scratch:
        results, problem = run_job(size, device, Path(scratch), ends_at - time.monotonic())
    print("\n| method | status | patches/s | busy in training | peak MiB |")
    print("| --- | --- | ---: | ---: | ---: |")
    missed = [f"missed: the main job {problem}"] if problem else []
    for result in results:
        print(describe_result(result))
        busy = result.cost.gpu_busy_frac if result.cost else None
        if result.status is not Status.DONE:
            missed.append(f"missed: {result.method} ended as {result.status}: {result.reason}")
        elif busy is None:
            missed.append(f"missed: {result.method}: busy not measured")
        elif busy < GOALS["busy"]:
            missed.append(f"missed: {result.method}: busy {busy:.0%}")
    return missed


def run_job(size: Size, device: str, scratch: Path, limit_s: float) -> tuple[list[RunResult], str]:
    """Return the results of the main job in so many seconds, and how it ended if not well."""
    root, out = scratch / "phantoms", scratch / "out"
    write_phantoms("brats", root, N_CASES, shape=size.volume)
    patch = ",".join(map(str, size.patch))
    command = [sys.executable, "-m", "bench", "run", "--methods", size.methods]
    command += ["--datasets", "brats", "--data-root", str(root), "--preset", "quick"]
    command += ["--backbone", size.backbone, "--weights", "none", "--precision", "bf16-mixed"]
    command += ["--set", f"data.patch={patch}", *size.training]
    command += ["--device", device, "--out", str(out)]
    own = {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{scratch}/mlflow.db"}
    try:
        done = subprocess.run(
            command,
            cwd=scratch,
            env=os.environ | own,
            capture_output=True,
            encoding="utf-8",
            timeout=max(limit_s, 1.0),
        )
        print(done.stderr[-2000:] if done.returncode else "", end="")
        problem = f"ended with exit code {done.returncode}" if done.returncode else ""
    except subprocess.TimeoutExpired:
        problem = f"was ended: {LIMIT_S:.0f} s are over"
    found = map(read_result, sorted(out.glob("runs/*")))
    return [result for result in found if result is not None], problem


def describe_result(result: RunResult) -> str:
    """Return a row of the table; patches a second are those of training without its first batch."""
    cost = result.cost
    if cost is None:
        return f"| {result.method} | {result.status} | | | |"
    patches = ""
    for phase in cost.phases:
        if phase.phase == FIT and phase.units > 1:
            rate = (phase.units - 1) / (phase.seconds - phase.first_s)
            patches = f"{rate * get_preset('quick').protocol.train.batch:.1f}"
    busy = "" if cost.gpu_busy_frac is None else f"{cost.gpu_busy_frac:.0%}"
    peak = f"{cost.peak_memory_mib:.0f}"
    return f"| {result.method} | {result.status} | {patches} | {busy} | {peak} |"


if __name__ == "__main__":
    sys.exit(main())
