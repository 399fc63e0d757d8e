"""From scratch: the same network from random weights, every parameter trains.

What pre-training is worth: the first row of the paper's tables.

Our choices: it is `full` without the pre-trained weights that the other methods of a table start
from. Where those are random as well (``--weights none``), it is the same as `full`.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from methods.base import MethodInfo
from methods.reference.full import Full


@dataclass(frozen=True)
class Scratch(Full):
    """Train everything, from random weights."""

    info: ClassVar[MethodInfo] = replace(
        Full.info,
        name="scratch",
        title="Training from scratch",
        identity_note="nothing is inserted; the weights are random",
        from_scratch=True,
    )
