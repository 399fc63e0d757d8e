"""Time and peak memory of one training step of every method, relative to full fine-tuning; bf16 against fp32.

    python -m benchmarks.training_step [--backbone vit_b16] [--patch 32,128,128] [--steps 5]
    [--threads 2] python -m benchmarks.training_step --methods med_adapter --checkpointing
    --slices-per-chunk 16 --against-plain python -m benchmarks.training_step --device cuda --patch
    128,128,128

One patch of 4 channels and 4 classes; forward, loss, backward and optimiser as in training, random
weights. Every row is measured in a process of its own, so that peak memory is that row's alone.
``linear + position`` trains the position embedding beside the decoder, as the public code of
Med-Tuning does for every method: gradients then cross all frozen blocks, which is what linear
probing otherwise saves.

Peak memory is the resident set of the whole process, the libraries included, or what is allocated
on the GPU; ``network`` is what lies above the loaded libraries, ``step`` what lies above the built
network. The time is that of the fastest step after a first one that is not counted: what else the
machine does can only make a step slower. On a CPU, bf16 is faster than fp32 only if it has
instructions for it (AVX512-BF16 or AMX); without them it is many times slower. ``--against-plain``
prints each method's step as asked for beside the same without checkpointing and chunks, and their
ratio, in fp32 and nothing else.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHANNELS, CLASSES = 4, 4
WITH_POSITION = "linear + position"
BF16_ROWS = ("full", "med_adapter")


def measure(arguments: argparse.Namespace, row: str, precision: str) -> dict[str, float]:
    """Measure one row in a child process."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.training_step",
        "--row",
        row,
        "--precision",
        precision,
    ]
    for name in ("backbone", "patch", "steps", "threads", "device", "slices_per_chunk"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    command += ["--checkpointing"] * arguments.checkpointing
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure_here(arguments: argparse.Namespace) -> dict[str, float]:
    """Build the row's network in this process, train a few steps and return its figures."""
    import torch

    from bench.cost.memory import peak_memory_mib
    from methods.executed import set_execution
    from methods.execution import Execution

    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    depth, height, width = map(int, arguments.patch.split(","))
    small = (1, 32, 32)  # a step of it loads all libraries
    image, label = (
        torch.zeros(1, CHANNELS, *small, device=device),
        torch.ones(1, 1, *small, device=device),
    )
    build_step(build("linear", "tiny_vit", small, device), image, label, bf16=False)()
    loaded_mib = present_mib(device)
    model = build(arguments.row, arguments.backbone, (depth, height, width), device)
    set_execution(model, Execution(arguments.checkpointing, arguments.slices_per_chunk))
    image = torch.randn(1, CHANNELS, depth, height, width, device=device)
    label = torch.randint(CLASSES, (1, 1, depth, height, width), device=device)
    step = build_step(model, image, label, bf16=arguments.precision == "bf16")
    built_mib = present_mib(device)
    step()
    seconds = min(time_s(step) for _ in range(arguments.steps))
    peak_mib = peak_memory_mib(device)
    figures = {"seconds": seconds, "peak_mib": peak_mib}
    return figures | {"network_mib": peak_mib - loaded_mib, "step_mib": peak_mib - built_mib}


def build(row: str, backbone: str, patch: tuple[int, int, int], device: Any) -> Any:
    import methods
    from bench.models.build import build_segmenter
    from bench.models.segmenter import apply_method

    model = build_segmenter(
        backbone, "none", in_channels=CHANNELS, n_classes=CLASSES, patch=patch, seed=0
    )
    apply_method(model, methods.build(row.split()[0]), seed=0)
    if row == WITH_POSITION:
        model.backbone.pos_embed.requires_grad_(True)
    return model.to(device).train()


def build_step(model: Any, image: Any, label: Any, *, bf16: bool) -> Callable[[], None]:
    import torch

    from bench.cost.timing import synchronize
    from bench.run.training import build_loss, build_optimizer
    from bench.specs.protocol import TrainSpec

    optimizer = build_optimizer(model, TrainSpec())
    loss_function = build_loss()

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = model(image)
        loss_function(logits.float(), label).backward()
        optimizer.step()
        synchronize(image.device)

    return step


def time_s(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def present_mib(device: Any) -> float:
    """Return what is allocated on a GPU now, or the resident set of this process (Linux)."""
    if device.type == "cuda":
        import torch

        return torch.cuda.memory_allocated(device) / 2**20
    n_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return n_pages * resource.getpagesize() / 2**20


def iter_rows(
    arguments: argparse.Namespace, first: tuple[str, ...] = ("full",)
) -> Iterator[tuple[str, str]]:
    """Yield what is measured, full fine-tuning first unless told otherwise."""
    import methods

    asked = arguments.methods.split(",") if arguments.methods else methods.names()
    with_position = [WITH_POSITION] if "linear" in asked and "vit" in arguments.backbone else []
    for row in dict.fromkeys([*first, *asked, *with_position]):
        yield row, "fp32"
    for row in BF16_ROWS:
        if row in asked:
            yield row, "bf16"


def print_table(arguments: argparse.Namespace) -> None:
    print(
        f"{arguments.backbone}, one patch 4x{arguments.patch.replace(',', 'x')}, {describe_processor(arguments)}"
    )
    print(
        f"{'method':<20}{'precision':<11}{'s/step':>8}{'/ full':>8}"
        f"{'peak MiB':>10}{'/ full':>8}{'network MiB':>13}{'step MiB':>10}"
    )
    done: dict[tuple[str, str], dict[str, float]] = {}
    for row, precision in iter_rows(arguments):
        done[row, precision] = figures = measure(arguments, row, precision)
        full = done["full", "fp32"]
        print(
            f"{row:<20}{precision:<11}{figures['seconds']:>8.3f}{figures['seconds'] / full['seconds']:>8.2f}"
            f"{figures['peak_mib']:>10.0f}{figures['peak_mib'] / full['peak_mib']:>8.2f}"
            f"{figures['network_mib']:>13.0f}{figures['step_mib']:>10.0f}",
            flush=True,
        )
    if (WITH_POSITION, "fp32") in done:
        ratio = done[WITH_POSITION, "fp32"]["seconds"] / done["linear", "fp32"]["seconds"]
        print(f"linear is {ratio:.2f}x faster than with the position embedding trained")
    for row in BF16_ROWS:
        if (row, "bf16") in done:
            ratio = done[row, "fp32"]["seconds"] / done[row, "bf16"]["seconds"]
            print(f"bf16 is {ratio:.2f}x faster than fp32 ({row})")


def describe_processor(arguments: argparse.Namespace) -> str:
    return f"{arguments.threads} threads" if arguments.device == "cpu" else arguments.device


def print_against_plain(arguments: argparse.Namespace) -> None:
    plainly = argparse.Namespace(
        **vars(arguments) | {"checkpointing": False, "slices_per_chunk": 0}
    )
    print(
        f"{arguments.backbone}, one patch 4x{arguments.patch.replace(',', 'x')}, {describe_processor(arguments)}, fp32"
    )
    for row in dict.fromkeys(row for row, _ in iter_rows(arguments, first=())):
        plain, asked = measure(plainly, row, "fp32"), measure(arguments, row, "fp32")
        for name, figures in (("plain", plain), ("as asked", asked)):
            print(
                f"{row:<20}{name:<11}{figures['seconds']:>8.3f} s{figures['network_mib']:>8.0f} MiB for the network"
            )
        print(
            f"{row:<20}{asked['seconds'] / plain['seconds']:.2f}x the time of the plain step",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="vit_b16")
    parser.add_argument("--patch", default="32,128,128", help="D,H,W in voxels")
    parser.add_argument("--methods", default="", help="separated by commas; default: all")
    parser.add_argument(
        "--steps", type=int, default=5, help="timed steps of every row; the fastest counts"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--checkpointing", action="store_true", help="as in `bench run`")
    parser.add_argument("--slices-per-chunk", type=int, default=0, help="as in `bench run`")
    parser.add_argument(
        "--against-plain", action="store_true", help="compare with neither of the two"
    )
    parser.add_argument("--row", default="", help=argparse.SUPPRESS)  # a child's task
    parser.add_argument("--precision", default="fp32", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(measure_here(arguments)))
    elif arguments.against_plain:
        print_against_plain(arguments)
    else:
        print_table(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
