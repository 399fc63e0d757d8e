"""Time and peak memory of one training step of every method, against full fine-tuning; bf16, too.

    python -m benchmarks.network.training_step [--patch 32,128,128] [--steps 5] [--threads 2]
    python -m benchmarks.network.training_step --methods med_adapter --checkpointing
        --slices-per-chunk 16 --against-plain
    python -m benchmarks.network.training_step --device cuda --patch 128,128,128

One patch of 4 channels and 4 classes; every row has a process of its own. ``linear + position``
trains the position embedding beside the decoder, as the public code of Med-Tuning does for every
method: gradients then cross all frozen blocks. Peak memory is the resident set of the process, or
what is allocated on the GPU; ``network`` is the part above the loaded libraries, ``step`` the part
above the built network. The first step, which compiles with ``--compile``, is not counted; other
work of the machine can only make a step slower, so the fastest counts. On a CPU without
instructions for it (AVX512-BF16 or AMX), bf16 is many times slower than fp32. ``--against-plain``
is in fp32 only.
"""

import resource
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from dataclasses import dataclass
from pathlib import Path

import torch

import methods
from bench.cost.inventory import NetworkShape, read_network_shape
from bench.cost.memory import peak_memory_mib
from bench.cost.timing import synchronize
from bench.models.compiled import compile_network
from bench.run.training.step import Batch, TrainingStep
from benchmarks.child import run_in_child
from benchmarks.network.build import build_network, build_training
from methods.executed import set_execution
from methods.execution import Execution

WITH_POSITION = "linear + position"
BF16_ROWS = ("full", "med_adapter")


@dataclass(frozen=True)
class Figures:
    seconds: float
    peak_mib: float
    network_mib: float
    step_mib: float


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="vit_b16")
    parser.add_argument("--patch", default="32,128,128", help="D,H,W in voxels")
    parser.add_argument("--methods", default="", help="separated by commas; default: all")
    parser.add_argument("--steps", type=int, default=5, help="timed; the fastest counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--checkpointing", action="store_true", help="as in `bench run`")
    parser.add_argument("--slices-per-chunk", type=int, default=0, help="as in `bench run`")
    parser.add_argument("--compile", action="store_true", help="as in `bench run`")
    parser.add_argument("--against-plain", action="store_true", help="compare with a plain step")
    arguments = parser.parse_args()
    processor = f"{arguments.threads} threads" if arguments.device == "cpu" else arguments.device
    size = arguments.patch.replace(",", "x")
    title = f"{arguments.backbone}, one patch 4x{size}, {processor}"
    if arguments.against_plain:
        print(f"{title}, fp32")
        print_against_plain(arguments)
    else:
        print(title)
        print_table(arguments)
    return 0


def measure(arguments: Namespace, row: str, precision: str) -> Figures:
    """Build a row's network in this process, which is the row's own, and train a few steps."""
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    shape = NetworkShape("tiny_vit", (1, 32, 32))
    step, batch = build_training(build_network("linear", shape), shape, arguments.device)
    step.update(step.loss(batch))  # loads all libraries
    loaded_mib = present_mib(device)

    shape = read_network_shape(arguments.backbone, arguments.patch)
    model = build_network(row.split()[0], shape)
    if row == WITH_POSITION:
        model.backbone.pos_embed.requires_grad_(True)
    set_execution(model, Execution(arguments.checkpointing, arguments.slices_per_chunk))
    if arguments.compile:
        compile_network(model)
    fabric_precision = "bf16-mixed" if precision == "bf16" else "32-true"
    step, batch = build_training(model, shape, arguments.device, fabric_precision)
    built_mib = present_mib(device)
    seconds = [time_step(step, batch) for _ in range(1 + arguments.steps)]
    peak_mib = peak_memory_mib(device)
    return Figures(min(seconds[1:]), peak_mib, peak_mib - loaded_mib, peak_mib - built_mib)


def time_step(step: TrainingStep, batch: Batch) -> float:
    started = time.perf_counter()
    step.update(step.loss(batch))
    synchronize(batch["image"].device)
    return time.perf_counter() - started


def present_mib(device: torch.device) -> float:
    """Return what is allocated on a GPU now, or the resident set of this process (Linux)."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / 2**20
    n_pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return n_pages * resource.getpagesize() / 2**20


def list_methods(arguments: Namespace) -> list[str]:
    """Return the rows that are asked for, the one with the position embedding last."""
    asked = arguments.methods.split(",") if arguments.methods else methods.names()
    with_position = "linear" in asked and "vit" in arguments.backbone
    return [*asked, WITH_POSITION] if with_position else asked


def print_table(arguments: Namespace) -> None:
    memory_head = f"{'peak MiB':>10}{'/ full':>8}{'network MiB':>13}{'step MiB':>10}"
    print(f"{'method':<20}{'precision':<11}{'s/step':>8}{'/ full':>8}{memory_head}")
    asked = list_methods(arguments)
    rows = [(row, "fp32") for row in dict.fromkeys(["full", *asked])]
    rows += [(row, "bf16") for row in BF16_ROWS if row in asked]
    done: dict[tuple[str, str], Figures] = {}
    for row, precision in rows:
        found = done[row, precision] = run_in_child(measure, arguments, row, precision)
        full = done["full", "fp32"]
        took = f"{found.seconds:>8.3f}{found.seconds / full.seconds:>8.2f}"
        peak = f"{found.peak_mib:>10.0f}{found.peak_mib / full.peak_mib:>8.2f}"
        parts = f"{found.network_mib:>13.0f}{found.step_mib:>10.0f}"
        print(f"{row:<20}{precision:<11}{took}{peak}{parts}", flush=True)
    if WITH_POSITION in asked:
        ratio = done[WITH_POSITION, "fp32"].seconds / done["linear", "fp32"].seconds
        print(f"linear is {ratio:.2f}x faster than with the position embedding trained")
    for row, precision in rows:
        if precision == "bf16":
            ratio = done[row, "fp32"].seconds / done[row, "bf16"].seconds
            print(f"bf16 is {ratio:.2f}x faster than fp32 ({row})")


def print_against_plain(arguments: Namespace) -> None:
    plain_options = {"checkpointing": False, "slices_per_chunk": 0, "compile": False}
    plainly = Namespace(**vars(arguments) | plain_options)
    for row in list_methods(arguments):
        plain = run_in_child(measure, plainly, row, "fp32")
        asked = run_in_child(measure, arguments, row, "fp32")
        for name, found in (("plain", plain), ("as asked", asked)):
            network = f"{found.network_mib:>8.0f} MiB for the network"
            print(f"{row:<20}{name:<11}{found.seconds:>8.3f} s{network}")
        ratio = asked.seconds / plain.seconds
        print(f"{row:<20}{ratio:.2f}x the time of the plain step", flush=True)


if __name__ == "__main__":
    sys.exit(main())
