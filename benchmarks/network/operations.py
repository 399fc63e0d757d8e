"""What one Med-Adapter does in a training step: operations, casts and the bytes that they move.

    python -m benchmarks.network.operations [--depth 32] [--longest 6]

A GPU starts a kernel for nearly each operation, and small ones take it as long as large ones. So
their number and their bytes tell what bf16 (autocast) can save where no GPU is there to measure it.
Counted on a CPU, forward and backward, as the mean over the twelve adapters of ViT-B/16. What only
changes the view of a tensor, or only allocates, is left out. Bytes are those of all tensors that an
operation reads and writes.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.network.med_adapter import GRID, N_BLOCKS, WIDTH, Ours

CASTS = ("_to_copy",)
ALLOCATIONS = ("empty", "new_empty", "new_empty_strided", "empty_like", "empty_strided")


class Counted(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
    """Counts the operations while it is on, by name, and their bytes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.calls: Counter[str] = Counter()
        self.n_bytes: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.partition("::")[2]
        tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if torch.is_tensor(leaf)]
        if tensors and name not in ALLOCATIONS and not _is_view(func):
            self.calls[name] += 1
            self.n_bytes[name] += sum(each.numel() * each.element_size() for each in tensors)
        return out


def _is_view(func: Any) -> bool:
    """Return whether an operation returns its input's own memory and writes nothing."""
    aliases = [each.alias_info for each in func._schema.returns]
    is_alias = any(alias is not None and not alias.is_write for alias in aliases)
    return is_alias or func._schema.name == "aten::_unsafe_view"


def count(depth: int, *, in_bf16: bool) -> tuple[Counted, Counted]:
    """Return what the forward and the backward pass do, in all adapters together."""
    torch.manual_seed(0)
    model = Ours(depth).train()
    x = torch.randn(depth, GRID**2, WIDTH, requires_grad=True)
    with Counted() as forward, torch.autocast("cpu", torch.bfloat16, enabled=in_bf16):
        y = model(x)
    gradient = torch.ones_like(y)
    with Counted() as backward:
        y.backward(gradient)
    return forward, backward


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=32, help="slices")
    parser.add_argument("--longest", type=int, default=6, help="operations that are listed")
    arguments = parser.parse_args()
    print(f"{'one adapter':<22}{'operations':>12}{'casts':>8}{'MB':>8}")
    for precision in ("fp32", "bf16"):
        passes = count(arguments.depth, in_bf16=precision == "bf16")
        for name, counted in zip(("forward", "backward"), passes, strict=True):
            n_casts = sum(counted.calls[cast] for cast in CASTS) / N_BLOCKS
            n_calls = counted.calls.total() / N_BLOCKS
            megabytes = counted.n_bytes.total() / N_BLOCKS / 1e6
            print(f"{precision} {name:<17}{n_calls:>12.1f}{n_casts:>8.1f}{megabytes:>8.1f}")
            for operation, n_bytes in counted.n_bytes.most_common(arguments.longest):
                calls = counted.calls[operation] / N_BLOCKS
                print(f"  {operation:<20}{calls:>12.1f}{'':>8}{n_bytes / N_BLOCKS / 1e6:>8.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
