"""What share of a run inner validation has, which selects epochs and settings.

    python -m benchmarks.runs.selection [--presets quick,paper] [--backbone vit_b16] [--skip-runs]

Counted: multiply-accumulates of all validations of a run against those of its training, for the
paper's methods, with 59 inner validation cases whose windows are those of prepared 240x240x155
phantoms; "all" is what the evaluation protocol on all cases, every `EARLIER` epochs, would take.
Measured: the seconds of two methods on a CPU, with Tiny ViT, patches and volumes of an eighth of
the length, and as many patches for each validation as ``quick`` has. Exit code 1 above 10 %.
"""

import sys
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from statistics import fmean

import torch

import datasets
import methods
from bench.cost.flops import MacCounter, count_training, pass_both_ways
from bench.cost.phases import FIT, VALIDATE
from bench.run.execute import execute_run
from bench.run.inference.windows import Tiling
from bench.run.network import build
from bench.specs.presets import get_preset
from bench.specs.protocol import DataSpec, EvalSpec, ModelSpec, Protocol
from bench.specs.run import MethodSpec, Place, RunSpec
from datasets.base import DatasetInfo, VolumeShape
from datasets.phantoms.write import write_phantoms
from datasets.prepared.keys import Preparation
from datasets.prepared.prepare import prepare
from reports.records.run import Status

LIMIT = 0.10
EARLIER = {"quick": 5, "paper": 10}  # epochs between validations
N_VAL = 59  # of BraTS 2020 with five folds
N_PHANTOMS = 3  # whose sizes stand for all
MEASURED = ("linear", "med_adapter")


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--presets", default="quick,paper")
    parser.add_argument("--backbone", default="vit_b16")
    parser.add_argument("--skip-runs", action="store_true", help="count alone")
    arguments = parser.parse_args()
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        sizes = prepare_sizes(Path(folder))
        for preset in arguments.presets.split(","):
            shares += print_counted(preset, arguments.backbone, sizes)
        if not arguments.skip_runs:
            shares += print_measured(Path(folder))
    return int(max(shares) > LIMIT)


def prepare_sizes(folder: Path) -> list[VolumeShape]:
    """Return the sizes of prepared phantoms of the size of BraTS."""
    write_phantoms("brats", folder / "large", N_PHANTOMS, shape=(155, 240, 240))
    dataset = datasets.build("brats", folder / "large")
    cases = dataset.find_labelled()
    prepared = prepare(dataset, cases, folder / "cache", settings=Preparation())
    return [case.shape for case in prepared]


def print_counted(preset: str, backbone: str, sizes: Sequence[VolumeShape]) -> list[float]:
    """Print the share of each method; return them."""
    protocol = get_preset(preset).protocol
    model = replace(protocol.model, backbone=backbone, weights="none")
    protocol = replace(protocol, model=model)
    n_cases = min(protocol.train.val_cases or N_VAL, N_VAL)
    n_validations = ceil(protocol.train.epochs / protocol.train.val_every)
    windows = count_windows(protocol, protocol.selection, sizes)
    whole = N_VAL * count_windows(protocol, protocol.eval, sizes)
    whole *= ceil(protocol.train.epochs / EARLIER[preset])
    n_forward = n_validations * n_cases * windows
    n_patches = protocol.train.epochs * protocol.data.patches_per_epoch
    how = f"{n_validations} validations of {n_cases} cases of {windows:.0f} windows"
    print(f"{preset}, {backbone}: {n_patches} patches, {how}")
    shares = []
    for name in methods.PAPER:
        forward, training = count_method(name, protocol)
        shares.append(n_forward * forward / (n_forward * forward + n_patches * training))
        earlier = whole * forward / (whole * forward + n_patches * training)
        print(f"  {name:<14}{100 * shares[-1]:>6.1f} %   all {100 * earlier:.0f} %", flush=True)
    return shares


def count_windows(protocol: Protocol, spec: EvalSpec, sizes: Sequence[VolumeShape]) -> float:
    """Return the mean number of windows of a volume, those of mirrored copies included."""
    return fmean(Tiling(size, protocol.data.patch, spec).n_windows for size in sizes)


def count_method(name: str, protocol: Protocol) -> tuple[float, float]:
    """Return the GMAC of a patch, forward and in training."""
    info: DatasetInfo = datasets.get("brats").describe("brats2020")
    spec = RunSpec(MethodSpec(name), "brats2020", "", 0, 0, protocol, Path())
    with torch.device("meta"):
        model = build(spec, info)
        patch = torch.empty(1, len(info.channels), *protocol.data.patch)
    with torch.no_grad(), MacCounter() as counter:
        model.eval()(patch)
    training_gmac, _ = count_training(pass_both_ways(model), patch)
    return counter.macs / 1e9, training_gmac


def print_measured(folder: Path) -> list[float]:
    """Print what two methods took for training and validation; return the shares."""
    quick = get_preset("quick").protocol
    write_phantoms("brats", folder / "small", 60, shape=(20, 32, 32))
    train = replace(quick.train, epochs=quick.train.val_every, precision="32-true", max_steps=0)
    protocol = Protocol(
        DataSpec(patch=(4, 16, 16), patches_per_epoch=quick.data.patches_per_epoch),
        ModelSpec(),
        train,
        quick.eval,
    )
    print("measured, tiny_vit")
    shares = []
    for name in MEASURED:
        spec = RunSpec(MethodSpec(name), "brats", "x", 0, 0, protocol, folder / "small")
        place = Place(folder / name, folder / "cache-small", "cpu")
        result = execute_run(spec, place, lambda phase, stand: None)
        assert result.status is Status.DONE, result.traceback
        assert result.cost is not None
        seconds = {each.phase: each.seconds for each in result.cost.phases}
        shares.append(seconds[VALIDATE] / sum(seconds.values()))
        parts = f"training {seconds[FIT]:.1f} s, inner validation {seconds[VALIDATE]:.1f} s"
        print(f"  {name:<14}{100 * shares[-1]:>6.1f} % of the run: {parts}", flush=True)
    return shares


if __name__ == "__main__":
    sys.exit(main())
