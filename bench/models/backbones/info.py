"""The torch-free facts of a backbone, and the record of the weights that it has loaded."""

from __future__ import annotations

from dataclasses import dataclass

NONE = "none"
NORMALISATION = "inputs are z-scored per channel; mean and std of the pre-training are not applied a second time"


@dataclass(frozen=True)
class LoadedWeights:
    """What was loaded, as plain data. Names in ``unused`` are the file's, the others are the backbone's.

    ``matched`` were copied; ``resampled`` were interpolated to the built grid, patch or window, or
    adapted to the number of channels, and copied; ``missing`` are documented gaps of the
    pre-training and keep the values of a fresh normalisation layer (1 and 0).
    """

    name: str
    source: str
    sha256: str
    matched: tuple[str, ...]
    resampled: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    mean: tuple[float, ...] = ()  # of the pre-training's images; empty where unknown
    std: tuple[float, ...] = ()
    normalisation: str = NORMALISATION


@dataclass(frozen=True)
class BackboneInfo:
    """The facts of a backbone; ``multiple_of`` is what height and width of a slice must be divisible by, in voxels.

    ``architecture`` is timm's name of what is built, where timm itself builds it.
    """

    name: str
    title: str
    reference: str
    multiple_of: int
    family: str  # a name of `registry.BUILDERS`
    weights: tuple[str, ...] = ("none",)
    decoder: str = "light"  # a name of `DECODERS`
    architecture: str = ""


TIMM = "timm:"  # in front of timm's name of a ViT or Swin
