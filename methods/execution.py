"""How a network computes, as plain data; `methods.executed` acts on it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Execution:
    """Memory against time."""

    checkpointing: bool = False  # keep a module's input alone, and compute activations again
    # That go through a module at once; 0: all. None: to be chosen; until then all.
    slices_per_chunk: int | None = 0

    def __post_init__(self) -> None:
        if self.slices_per_chunk is not None and self.slices_per_chunk < 0:
            rule = f"slices_per_chunk must be >= 0, got {self.slices_per_chunk}"
            raise ValueError(f"execution: {rule} (0 = all at once)")


PLAIN = Execution()
