"""Operations of every method, forward and training, as they stand in docs/measuring.md.

    python -m benchmarks.network.compute --prefix-tokens drop [--backbone vit_b16]
        [--patch 128,128,128]

One patch of 4 channels and 4 classes on torch's meta device, counted as in a run. Exit code 1 if an
operation has no rule, or if training does not get dearer in the order of ``ORDER``.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import dataclass
from itertools import pairwise

import torch

import methods
from bench.cost.flops import MacCounter, count_training, pass_both_ways
from bench.cost.inventory import NetworkShape, read_network_shape
from bench.cost.measure import count_parameters
from benchmarks.network.build import build_network
from reports.records.cost import GFLOP_PER_GMAC

HALF = "lora[blocks=last_half]"
ORDER = ("linear", HALF, "lora", "full")
HEAD = (
    "| method | tuned, M | forward, GFLOP | training, GFLOP | of full |",
    "| --- | ---: | ---: | ---: | ---: |",
)


@dataclass(frozen=True)
class Row:
    method: str
    tuned: int
    forward_gflop: float
    training_gflop: float
    uncounted: tuple[str, ...]


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="vit_b16")
    parser.add_argument("--patch", default="128,128,128", help="D,H,W in voxels")
    parser.add_argument("--prefix-tokens", default="keep", help="keep or drop a ViT's class token")
    arguments = parser.parse_args()
    given = {"prefix_tokens": arguments.prefix_tokens}
    shape = read_network_shape(arguments.backbone, arguments.patch, given)
    rows = count_rows(shape)
    print("\n".join(format_table(rows)))
    unknown = {name for row in rows.values() for name in row.uncounted}
    if unknown:
        print(f"without a rule: {', '.join(sorted(unknown))}")
    gflops = [rows[name].training_gflop for name in ORDER]
    in_order = all(low < high for low, high in pairwise(gflops))
    return int(bool(unknown) or not in_order)


def count_rows(shape: NetworkShape) -> dict[str, Row]:
    """Return the counts of the paper's methods by name, LoRA's half in front of LoRA."""
    names = list(methods.PAPER)
    names.insert(names.index("lora"), HALF)
    return {name: count_row(name, shape) for name in names}


def count_row(method: str, shape: NetworkShape) -> Row:
    with torch.device("meta"):
        model = build_network(method, shape)
        volume = torch.empty(1, shape.channels, *shape.patch)
    with torch.no_grad(), MacCounter() as forward:
        model.eval()(volume)
    training_gmac, uncounted = count_training(pass_both_ways(model), volume)
    names = tuple(sorted(forward.uncounted | uncounted))
    forward_gflop = GFLOP_PER_GMAC * forward.macs / 1e9
    training_gflop = GFLOP_PER_GMAC * training_gmac
    return Row(method, count_parameters(model).tuned, forward_gflop, training_gflop, names)


def format_table(rows: dict[str, Row]) -> list[str]:
    lines = [*HEAD]
    for row in rows.values():
        share = row.training_gflop / rows["full"].training_gflop
        gflops = f"{row.forward_gflop:.0f} | {row.training_gflop:.0f}"
        lines.append(f"| {row.method} | {row.tuned / 1e6:.3f} | {gflops} | {share:.2f} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
