"""Segmenting one 240x240x155 case as ``quick`` and ``paper`` do, against Med-Tuning's public code.

    python -m benchmarks.network.inference [--backbone tiny_vit] [--threads 2] [--whole]
        [--skip-times] [--skip-dice]
    python -m benchmarks.network.inference --backbone vit_b16 --device cuda --precision bf16-mixed
        --whole

The public code takes the whole volume: windows of 128x128x128 voxels at a stride of 42, 8 mirrored
copies, one window at a time, sums in host memory. The presets take what is left after cropping, as
`bench.run.inference` computes it. All use random networks of one backbone. Without ``--whole``, one
of 8 mirrored copies is forwarded, and its time counts 8 times. The second part trains the demo's
Med-Adapter, for as long as the demo does and for 8 times as long, and gives the mean Dice of its
held-out cases under each protocol, with the demo's patch. Exit code 1 if after the longer training
a preset differs by more than 0.002 from the public protocol on the same, cropped volumes. After the
short one, mirrored copies still correct the network, which ``quick`` does without.
"""

import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import torch
from torch import nn

import datasets
from bench.cost.inventory import read_network_shape
from bench.cost.timing import synchronize
from bench.run.cases import find_used, split_of
from bench.run.execute import execute_run
from bench.run.inference.predictor import Predictor
from bench.run.inference.room import Room
from bench.run.inference.windows import Shape
from bench.run.network import build_fabric
from bench.run.restore import load_run
from bench.scoring.cases import score_cases
from bench.scoring.metrics import Scoring
from bench.specs.presets import get_preset
from bench.specs.protocol import EvalSpec
from bench.specs.run import MethodSpec, Place, RunSpec
from bench.tuning.tuned_values import apply_shipped
from benchmarks.network.build import build_network
from datasets.phantoms.write import write_phantoms
from datasets.prepared.case import PreparedCase
from datasets.prepared.keys import Preparation
from datasets.prepared.prepare import prepare_case
from reports.records.run import Status

PRESETS = ("quick", "paper")
PUBLIC = replace(get_preset("paper").protocol.eval, overlap=0.67, blend="constant", flips=True)
PUBLIC_PATCH: Shape = (128, 128, 128)
N_MIRRORS = 8
MOST_DICE = 0.002
LONGER = 8  # times the epochs of the demo
TITLES = {
    "public": "public, whole volumes",
    "cropped": "public, cropped volumes",
    "quick": "quick",
    "paper": "paper",
}


class OneByOne(Predictor):
    """Forwards one window at a time and sums in host memory, on every device."""

    def find_room(self) -> Room:
        return Room(self.fabric.device, None)


@dataclass(frozen=True)
class Way:
    """A protocol of inference, and what carries it out."""

    name: str
    kind: type[Predictor]
    patch: Shape
    spec: EvalSpec


@dataclass(frozen=True)
class Row:
    name: str
    seconds: float
    n_slices: int


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="tiny_vit")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", default="32-true", help="32-true or bf16-mixed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--whole", action="store_true", help="forward all 8 copies")
    parser.add_argument("--skip-times", action="store_true", help="leave out the first part")
    parser.add_argument("--skip-dice", action="store_true", help="leave out the second part")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    processor = f"{arguments.threads} threads" if arguments.device == "cpu" else arguments.device
    with tempfile.TemporaryDirectory() as scratch:
        if not arguments.skip_times:
            print(f"{arguments.backbone}, linear, {arguments.precision}, {processor}", flush=True)
            print_times(arguments, Path(scratch))
        if arguments.skip_dice:
            return 0
        return print_dice(Path(scratch))


def print_times(arguments: Namespace, scratch: Path) -> None:
    root = scratch / "large"
    write_phantoms("brats", root, 1, shape=(155, 240, 240))
    public = measure_public(arguments, open_case(root, scratch / "whole", crop=False))
    cropped = open_case(root, scratch / "cropped", crop=True)
    rows = [public, *(measure_preset(arguments, name, cropped) for name in PRESETS)]
    for row in rows:
        ratio = f"{public.seconds / row.seconds:6.1f}x faster"
        print(f"  {row.name:<8}{row.n_slices:>8} slices {row.seconds:>9.2f} s {ratio}", flush=True)


def open_case(root: Path, folder: Path, *, crop: bool) -> PreparedCase:
    dataset = datasets.build("brats", root)
    (case,) = dataset.find_labelled()
    return prepare_case(dataset.info, case, Preparation(crop=crop), folder / case.id)


def measure_public(arguments: Namespace, case: PreparedCase) -> Row:
    return measure(arguments, Way("public", OneByOne, PUBLIC_PATCH, PUBLIC), case)


def measure_preset(arguments: Namespace, preset: str, case: PreparedCase) -> Row:
    protocol = get_preset(preset).protocol
    return measure(arguments, Way(preset, Predictor, protocol.data.patch, protocol.eval), case)


def measure(arguments: Namespace, way: Way, case: PreparedCase) -> Row:
    """Return the seconds of a volume; a GPU has segmented it once before."""
    scale = N_MIRRORS if way.spec.flips and not arguments.whole else 1
    spec = replace(way.spec, flips=way.spec.flips and arguments.whole)
    fabric = build_fabric(arguments.device, arguments.precision)
    predictor = way.kind(build(arguments, way.patch), way.patch, spec, fabric)
    image = case.image()
    if arguments.device != "cpu":
        predictor(image)
    synchronize(fabric.device)
    started = time.perf_counter()
    predictor(image)
    seconds = scale * (time.perf_counter() - started)
    return Row(way.name, seconds, scale * predictor.count_windows(image) * way.patch[0])


def build(arguments: Namespace, patch: Shape) -> nn.Module:
    shape = read_network_shape(arguments.backbone, ",".join(map(str, patch)))
    return build_network("linear", shape).to(arguments.device)


def print_dice(scratch: Path) -> int:
    """Print the mean Dice of the demo's held-out cases; return 1 if a preset is not the public."""
    demo = plan_demo(scratch / "demo")
    epochs = demo.protocol.train.epochs
    train_and_score(demo, scratch / "short")
    train = replace(demo.protocol.train, epochs=LONGER * epochs, val_every=LONGER)
    longer = replace(demo, protocol=replace(demo.protocol, train=train))
    found = train_and_score(longer, scratch / "long")
    return int(any(abs(found[name] - found["cropped"]) > MOST_DICE for name in PRESETS))


def train_and_score(spec: RunSpec, folder: Path) -> dict[str, float]:
    """Print and return the mean Dice of the held-out cases under each protocol."""
    place = Place(folder / "run", folder / "cache", "cpu")
    result = execute_run(spec, place, lambda phase, stand: None)
    assert result.status is Status.DONE, result.traceback
    torch.set_num_threads(spec.protocol.train.threads)
    found = {"public": score(spec, folder, PUBLIC, crop=False)}
    found["cropped"] = score(spec, folder, PUBLIC, crop=True)
    for name in PRESETS:
        found[name] = score(spec, folder, get_preset(name).protocol.eval, crop=True)
    epochs = spec.protocol.train.epochs
    print(f"the demo's Med-Adapter after {epochs} epochs, mean Dice of its held-out cases")
    for name, dice in found.items():
        print(f"  {TITLES[name]:<26}{dice:.4f}  {dice - found['cropped']:+.4f}", flush=True)
    return found


def plan_demo(root: Path) -> RunSpec:
    """Write the demo's phantoms; return its run of Med-Adapter with its tuned rates."""
    preset = get_preset("demo")
    assert preset.phantom is not None
    write_phantoms("brats", root, preset.phantom.n_cases, shape=preset.phantom.shape)
    method = MethodSpec("med_adapter")
    plain = RunSpec(method, "brats2020", "demo", 0, 0, preset.protocol, root)
    assert preset.tuned_file is not None
    (spec,) = apply_shipped([plain], preset.tuned_file)
    return spec


def score(spec: RunSpec, folder: Path, evaluation: EvalSpec, *, crop: bool) -> float:
    _, model = load_run(folder / "run", "cpu")
    dataset = datasets.build(spec.dataset, spec.root)
    labelled = find_used(dataset, spec)
    held_out = split_of(dataset, labelled, spec).test
    settings = Preparation(crop=crop)
    prepared = folder / f"scored-{crop}"
    cases = [
        prepare_case(dataset.info, case, settings, prepared / case.id)
        for case in labelled
        if case.id in held_out
    ]
    fabric = build_fabric("cpu", "32-true")
    predictor = Predictor(model, spec.protocol.data.patch, evaluation, fabric)
    scoring = Scoring(dataset.info, spec.protocol.eval)
    return fmean(row.dice for row in score_cases(predictor, cases, scoring, in_mm=False))


if __name__ == "__main__":
    sys.exit(main())
