"""What a reference network is: a record of settings that builds a whole 3-D network.

It has no backbone and no decoder of ours, starts from random weights, and every parameter trains.
"""

from abc import abstractmethod
from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar

from torch import nn

from methods.base import Contender, Info
from methods.settings import setting

Shape = tuple[int, int, int]  # D, H, W


@dataclass(frozen=True)
class Task:
    """What a network is built for."""

    in_channels: int
    n_classes: int
    patch: Shape  # in voxels
    spacing_mm: tuple[float, float, float] | None = None  # None: taken as equal on all axes


@dataclass(frozen=True)
class ReferenceInfo(Info):
    """The facts of a reference network."""

    kind: ClassVar[str] = "reference"
    size_rule: str  # what a patch must be, in words
    undecayed: tuple[str, ...] = ()  # last names of its position embeddings: no weight decay


@dataclass(frozen=True)
class Reference(Contender):
    """A 3-D network that is trained whole."""

    info: ClassVar[ReferenceInfo]

    pad: bool = setting(False, "fill a patch that does not fit up with zeros")

    @abstractmethod
    def find_unit(self, task: Task) -> Shape:
        """Return the numbers that the network's input must be divisible by, axis by axis.

        Raises: ValueError if the network cannot be planned for the patch.
        """

    @abstractmethod
    def build(self, task: Task) -> nn.Module:
        """Return the network from the present random state; ``task.patch`` is divisible."""

    def find_input(self, task: Task) -> Shape:
        """Return the size of the network's input, at least the patch.

        Raises: ValueError if a package is missing, or the patch does not fit and ``pad`` is off.
        """
        name = self.info.name
        for package in self.info.packages:
            if find_spec(package) is None:
                hint = f"pip install {package.replace('_', '-')}"
                raise ValueError(f"{name}: needs the package {package}, got none ({hint})")
        unit = self.find_unit(task)
        pairs = zip(task.patch, unit, strict=True)
        depth, height, width = (-(-length // step) * step for length, step in pairs)
        if (depth, height, width) != task.patch and not self.pad:
            rule = f"data.patch must be divisible by {_join(unit)}, got {_join(task.patch)}"
            hint = f"--set data.patch={depth},{height},{width}"
            raise ValueError(f"{name}: {rule} ({hint}; or {name}[pad=true] adds zeros)")
        return depth, height, width


def _join(shape: Shape) -> str:
    return "x".join(map(str, shape))
