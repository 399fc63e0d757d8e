"""What `plan --cost` predicts against what runs take: time and memory of two grids.

    python -m benchmarks.runs.plan [--grid demo] [--grid vit_b16] [--jobs 1]

demo: the demo's protocol with some methods and fewer epochs. vit_b16: patches of 32x128x128 voxels
through ViT-B/16 with random weights, two methods, a few steps. The grids are predicted in an empty
folder, by probes alone, and then carried out. Exit code 1 if the whole time is off by more than a
fifth, or the memory of a run by more than a tenth. Use a machine that does nothing else.
"""

import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import dataclass
from pathlib import Path

from bench.cli.options import Request
from bench.cli.request import read_request
from bench.grid.bill.bill import Bill, make_bill, prepare_bill
from bench.grid.bill.ready import Ready
from bench.grid.plan import lay_out, prepare_data
from bench.grid.runner import Event, run_grid
from bench.grid.slots import choose_slots
from datasets.phantoms.write import write_phantoms

TIME_LIMIT, MEMORY_LIMIT = 0.2, 0.1
GRIDS = ("demo", "vit_b16")


@dataclass(frozen=True)
class Taken:
    """What a run took."""

    seconds: float
    memory_mib: float


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--grid", action="append", choices=GRIDS, help="default: both")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=0, help="of a run; default: 60, 8")
    arguments = parser.parse_args()
    is_good = True
    for grid in arguments.grid or GRIDS:
        with tempfile.TemporaryDirectory() as scratch:
            request = build_request(grid, Path(scratch), arguments.steps)
            is_good &= compare(grid, request, arguments.device, arguments.jobs)
    return int(not is_good)


def build_request(grid: str, folder: Path, n_steps: int) -> Request:
    """Return the request of a grid; the phantoms of the large patches are written."""
    out = folder / "out"
    if grid == "demo":
        names = "linear,lora,adaptformer,med_adapter"
        return Request(methods=names, max_steps=n_steps or 60, out=out)
    root = folder / "data"
    write_phantoms("brats2020", root, 6, shape=(32, 128, 128))
    settings = ["data.patch=32,128,128", "data.n_folds=3", "data.patches_per_epoch=4"]
    settings += ["train.batch=1", "train.val_every=10", "eval.overlap=0.5"]
    return Request(
        methods="linear,lora",
        datasets="brats2020",
        data_root=[str(root)],
        preset="quick",
        weights="none",
        precision="32-true",
        max_steps=n_steps or 8,
        set=settings,
        out=out,
    )


def compare(grid: str, request: Request, device: str, jobs: int) -> bool:
    """Print what is predicted of a grid and what it takes; return whether they agree."""
    experiment = read_request(request)
    slots = choose_slots(device, jobs, threads=experiment.protocol.train.threads)
    plan = lay_out(experiment, lambda what, done, total: None)
    ready = Ready(plan, (), plan.runs, experiment.out, slots)
    began = time.perf_counter()
    prepared = prepare_bill(ready, lambda what, done, total: None)
    bill = make_bill(ready, prepared, lambda probes: lambda event: None)
    probed_s = time.perf_counter() - began
    taken = carry_out(ready)
    print(
        f"{grid}: {len(plan.runs)} runs on {device}, {jobs} at once; probes took {probed_s:.0f} s"
    )
    return print_comparison(bill, taken)


def carry_out(ready: Ready) -> dict[str, Taken]:
    """Carry out the grid; return what each run took, from its start to its end."""
    prepare_data(ready.to_do, ready.plan.sources, ready.out, lambda what, done, total: None)
    begun: dict[str, float] = {}
    taken: dict[str, Taken] = {}

    def on_event(event: Event) -> None:
        run_id = event.spec.run_id
        if event.phase == "start":
            begun[run_id] = time.perf_counter()
        if event.result is not None and event.result.cost is not None:
            seconds = time.perf_counter() - begun[run_id]
            taken[run_id] = Taken(seconds, event.result.cost.peak_memory_mib)

    run_grid(ready.to_do, ready.out, ready.slots, on_event)
    return taken


def print_comparison(bill: Bill, taken: dict[str, Taken]) -> bool:
    """Print a row for each run and one for all; return whether all is within the limits."""
    print(f"  {'method':<14}{'predicted s':>12}{'actual s':>10}{'':>8}", end="")
    print(f"{'predicted MiB':>15}{'actual MiB':>12}")
    predicted_s = actual_s = 0.0
    worst = 0.0
    for item in bill.items:
        price, found = item.price, taken.get(item.spec.run_id)
        if price is None or found is None:
            print(f"  {item.spec.method!s:<14} {item.reason or 'has no result'}")
            return False
        predicted_s += price.seconds
        actual_s += found.seconds
        memory = price.memory_mib / found.memory_mib - 1
        worst = max(worst, abs(memory))
        off = price.seconds / found.seconds - 1
        times = f"{price.seconds:>12.1f}{found.seconds:>10.1f}{off:>+8.0%}"
        sizes = f"{price.memory_mib:>15.0f}{found.memory_mib:>12.0f}{memory:>+8.1%}"
        print(f"  {item.spec.method!s:<14}{times}{sizes}")
    whole = predicted_s / actual_s - 1
    print(f"  {'all':<14}{predicted_s:>12.1f}{actual_s:>10.1f}{whole:>+8.0%}", flush=True)
    return abs(whole) <= TIME_LIMIT and worst <= MEMORY_LIMIT


if __name__ == "__main__":
    sys.exit(main())
