"""The random numbers that come next: of Python, of numpy, of torch and of the device."""

import random
from dataclasses import dataclass

import numpy as np
import torch

HOST, DEVICE = "host", "device"  # names of torch's states


@dataclass(frozen=True)
class RandomState:
    """The states of Python and numpy, which are plain data."""

    python: tuple[int, tuple[int, ...], float | None]
    numpy: tuple[str, tuple[int, ...], int, int, float]


def take_random_state(device: torch.device) -> tuple[RandomState, dict[str, torch.Tensor]]:
    """Return the present states; those of torch are bytes, by the names above."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 - of others
    numpy = (str(name), tuple(map(int, keys)), int(position), int(has_gauss), float(cached))
    tensors = {HOST: torch.get_rng_state()}
    if device.type == "cuda":
        tensors[DEVICE] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        tensors[DEVICE] = torch.mps.get_rng_state()
    return RandomState((version, words, gauss), numpy), tensors


def put_random_state(
    state: RandomState, tensors: dict[str, torch.Tensor], device: torch.device
) -> None:
    """Go on with the random numbers of `take_random_state`."""
    random.setstate(state.python)
    name, keys, position, has_gauss, cached = state.numpy
    words = np.array(keys, dtype=np.uint32)
    np.random.set_state((name, words, position, has_gauss, cached))  # noqa: NPY002 - of others
    torch.set_rng_state(tensors[HOST])
    if device.type == "cuda":
        torch.cuda.set_rng_state(tensors[DEVICE], device)
    if device.type == "mps":
        torch.mps.set_rng_state(tensors[DEVICE])
