"""How many windows go through a network at once, and where their logits are summed.

A CPU gets one window at a time: more are no faster there, and other batches round otherwise. An
NVIDIA GPU gets as many as its free memory holds, up to `SLICES_AT_ONCE` slices, and holds the sums
of a volume if they fit. Of other devices the free memory is not known: they are treated as a CPU.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

SLICES_AT_ONCE = 512  # fill the largest cards with patches of 128 x 128 voxels
SHARE = 0.5  # of the free memory, for windows as for sums: others may want some as well
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Room:
    """What a device has free, in bytes; None where that is not known."""

    device: torch.device
    free: int | None

    def count_windows(self, depth: int, window_bytes: int) -> int:
        """Return how many windows of so many slices and bytes go through the network at once."""
        if self.free is None:
            return 1
        by_memory = int(SHARE * self.free / max(window_bytes, 1))
        return max(1, min(SLICES_AT_ONCE // depth, by_memory))

    def choose_home(self, n_bytes: int) -> torch.device:
        """Return where the sums of a volume that take so many bytes are held."""
        fits = self.free is not None and n_bytes <= SHARE * self.free
        return self.device if fits else torch.device("cpu")


def list_sizes(n_windows: int) -> list[int]:
    """Return powers of two that add up to so many windows, the largest first.

    A network that is compiled is compiled for each size of its batches. So there are few.
    """
    sizes = []
    while n_windows:
        sizes.append(1 << (n_windows.bit_length() - 1))
        n_windows -= sizes[-1]
    return sizes


def find_room(device: torch.device) -> Room:
    """Return what torch can still allocate on an NVIDIA GPU: what is free, and what it reserves."""
    if device.type != "cuda":
        return Room(device, None)
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return Room(device, free + unused)


def count_sum_bytes(n_channels: int, n_classes: int, padded: Sequence[int]) -> int:
    """Return what a volume takes while it is segmented where its sums are.

    These are the volume and its mirrored copy, the sum of a copy, its logits turned back, those of
    all copies, the sum of weights, and the classes as 64-bit integers.
    """
    n_values = 2 * n_channels + 3 * n_classes + 3
    return FLOAT_BYTES * n_values * math.prod(padded)
