"""What is compared with what: the cell of the grid that runs and studies belong to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One method in one setting; runs of a cell differ in their seed, and in what tuning chose."""

    method: str  # as asked for, such as "lora" or "lora[rank=4]"
    dataset: str
    backbone: str
    weights: str  # as tables name them
    fold: int
    shots: int  # training cases; 0 = all
