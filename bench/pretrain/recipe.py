"""What a pre-training is: plain data, cheap to import."""

from dataclasses import dataclass

from bench.specs.protocol import ALL, MATRICES
from methods.settings import SEED, above, at_least, check, one_of, setting

PRETEXTS = ("dense", "dense-plain", "contours", "mae")
BACKBONES = ("tiny_vit", "tiny_vit4")
GENERATOR_VERSION = 1  # raise when scenes or targets change under the same recipe


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, beside the machine's arithmetic."""

    pretext: str = setting("dense", "the task that is learnt", one_of(*PRETEXTS))
    steps: int = setting(6000, "optimiser steps", at_least(1))
    batch: int = setting(24, "scenes per optimiser step", at_least(1))
    size: int = setting(64, "pixels of a scene's side")
    lr: float = setting(1e-3, "peak learning rate", above(0))
    weight_decay: float = setting(0.05, "weight decay")
    decay: str = setting(  # the weights that ship with the package were made with all
        ALL, "what weight decay acts on", one_of(MATRICES, ALL)
    )
    warmup_frac: float = setting(0.05, "fraction of the steps with a rising learning rate")
    seed: int = setting(0, "of weights and scenes", SEED)
    backbone: str = setting("tiny_vit", "the network that is trained", one_of(*BACKBONES))

    def __post_init__(self) -> None:
        """Raises: SpecError naming the field."""
        check("pretrain: {}", self)
