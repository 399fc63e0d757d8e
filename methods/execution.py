"""How a network computes, as plain data; `methods.executed` carries it out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Execution:
    """Memory against time.

    ``slices_per_chunk`` slices go through a module at once (0: all). With ``checkpointing`` only a
    module's input is kept for the backward pass, and its activations are computed a second time
    there.
    """

    checkpointing: bool = False
    slices_per_chunk: int = 0

    def __post_init__(self) -> None:
        """Raises: ValueError if the number of slices is negative."""
        if self.slices_per_chunk < 0:
            raise ValueError(
                f"execution: slices_per_chunk must be >= 0, got {self.slices_per_chunk} (0 = all at once)"
            )


PLAIN = Execution()
