"""The torch-free facts of a backbone, and the record of the weights that it has loaded."""

from dataclasses import dataclass

NONE = "none"  # the weights of a backbone that starts from random numbers
TIMM = "timm:"  # in front of timm's name of a ViT or Swin
OWN = "own"  # the decoder that a backbone names itself
MEDTUNING = "medtuning"  # the same as Med-Tuning's code computes it: `upernet_medtuning`, ...
TRAIN, FROZEN, PEFT = "train", "frozen", "peft"  # how much of a decoder trains
KEEP, DROP = "keep", "drop"  # what becomes of class and register tokens
NORMALISATION = (
    "inputs are z-scored per channel;"
    " mean and std of the pre-training are not applied a second time"
)


@dataclass(frozen=True)
class LoadedWeights:
    """What was loaded, as plain data. Names in ``unused`` are the file's, others the backbone's."""

    name: str
    source: str
    sha256: str  # of the file
    matched: tuple[str, ...]  # copied as they are
    resampled: tuple[str, ...]  # interpolated to grid, patch or window, or adapted to the channels
    missing: tuple[str, ...]  # the pre-training has none: they stay fresh norm layers (1 and 0)
    unused: tuple[str, ...]
    mean: tuple[float, ...] = ()  # of the pre-training's images; empty where unknown
    std: tuple[float, ...] = ()
    normalisation: str = NORMALISATION


@dataclass(frozen=True)
class Blueprint:
    """Which network, by names."""

    backbone: str
    weights: str = NONE
    decoder: str = OWN
    prefix_tokens: str = KEEP  # of a ViT that has some
    from_scratch: bool = False  # the weights decide the form alone, the numbers are random
    decoder_mode: str = TRAIN

    def __post_init__(self) -> None:
        """Raises: ValueError if prefix tokens are neither kept nor dropped."""
        if self.prefix_tokens not in (KEEP, DROP):
            rule = f"must be {KEEP} or {DROP}, got '{self.prefix_tokens}'"
            raise ValueError(f"model.prefix_tokens: {rule}")


@dataclass(frozen=True)
class BackboneInfo:
    """The facts of a backbone."""

    name: str
    title: str
    reference: str
    multiple_of: int  # height and width of a slice must be divisible by it, in voxels
    family: str  # a name of `registry.BUILDERS`; of a user's own, "module:function"
    decoder: str = "light"  # a name of `registry.DECODERS`
    weights: tuple[str, ...] = (NONE,)
    architecture: str = ""  # timm's name of what is built, where timm itself builds it
    is_swin: bool = False


@dataclass(frozen=True)
class DecoderInfo:
    """The facts of a decoder."""

    name: str
    title: str
    builder: str  # "module:function"; it takes a backbone and the number of classes
    needs_swin: bool = False
