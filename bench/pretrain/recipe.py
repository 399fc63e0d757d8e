"""What a pre-training is: plain data, cheap to import."""

from __future__ import annotations

from dataclasses import dataclass

from bench.specs.protocol import SpecError

PRETEXTS = ("dense", "dense-plain", "contours", "mae")
BACKBONES = ("tiny_vit", "tiny_vit4")
GENERATOR_VERSION = 1  # raise when scenes or targets change under the same recipe


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, beside the machine's arithmetic."""

    pretext: str = "dense"  # of `PRETEXTS`
    steps: int = 6000
    batch: int = 24
    size: int = 64  # pixels of a scene's side
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup_frac: float = 0.05
    seed: int = 0
    backbone: str = "tiny_vit"  # of `BACKBONES`

    def __post_init__(self) -> None:
        """Raises: SpecError naming the field."""
        checks = {
            "pretext": (self.pretext in PRETEXTS, f"one of {', '.join(PRETEXTS)}", self.pretext),
            "backbone": (
                self.backbone in BACKBONES,
                f"one of {', '.join(BACKBONES)}",
                self.backbone,
            ),
            "steps": (self.steps >= 1, ">= 1", self.steps),
            "batch": (self.batch >= 1, ">= 1", self.batch),
            "lr": (self.lr > 0, "> 0", self.lr),
        }
        for name, (holds, rule, value) in checks.items():
            if not holds:
                raise SpecError(f"pretrain: {name} must be {rule}, got {value}")
