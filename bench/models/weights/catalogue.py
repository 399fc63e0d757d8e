"""Which pre-trained weights there are, as a torch-free table.

The statistics with which the images of a pre-training were normalised are recorded and not applied:
our volumes are z-scored per channel, so they are on that scale already (mean 0, deviation 1 with
ImageNet's statistics, about 0.5 with mean and deviation 0.5). It is equal for all methods.
"""

from dataclasses import dataclass
from pathlib import Path

from bench.models.backbones.info import NONE

SUFFIXES = (".npz", ".safetensors", ".pth", ".pt", ".bin", ".tar")


@dataclass(frozen=True)
class Pretraining:
    """Published weights of a backbone."""

    backbone: str
    name: str
    tag: str  # timm's name of the architecture, a point, timm's name of the weights
    licence: str = "apache-2.0"
    # the architecture has parts that the plain backbone lacks (CLIP's norm before the blocks,
    # DINOv2's layer scale), so timm's own is built
    rebuild: bool = False
    has_prefix_tokens: bool = True  # of a ViT: a class token at least


TABLE: tuple[Pretraining, ...] = (
    # Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021, arXiv 2010.11929
    Pretraining("vit_b16", "in21k", "vit_base_patch16_224.orig_in21k"),
    # Steiner et al., How to train your ViT?, TMLR 2022, arXiv 2106.10270
    Pretraining("vit_ti16", "in21k", "vit_tiny_patch16_224.augreg_in21k"),
    Pretraining("vit_s16", "in21k", "vit_small_patch16_224.augreg_in21k"),
    # Touvron et al., Training data-efficient image transformers, ICML 2021, arXiv 2012.12877
    Pretraining("vit_ti16", "in1k", "deit_tiny_patch16_224.fb_in1k"),
    Pretraining("vit_s16", "in1k", "deit_small_patch16_224.fb_in1k"),
    Pretraining("vit_b16", "in1k", "deit_base_patch16_224.fb_in1k"),
    # He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022, arXiv 2111.06377
    Pretraining("vit_b16", "mae", "vit_base_patch16_224.mae", "cc-by-nc-4.0"),
    # Radford et al., ICML 2021, arXiv 2103.00020; weights: Cherti et al., CVPR 2023, 2212.07143
    Pretraining("vit_b16", "clip", "vit_base_patch16_clip_224.laion2b", rebuild=True),
    # Kirillov et al., Segment Anything, ICCV 2023, arXiv 2304.02643; it has no final norm, and its
    # window attention with relative positions becomes global attention without them
    Pretraining("vit_b16", "sam", "samvit_base_patch16.sa1b", has_prefix_tokens=False),
    # Caron et al., Emerging Properties in Self-Supervised ViTs, ICCV 2021, arXiv 2104.14294
    Pretraining("vit_s16", "dino", "vit_small_patch16_224.dino"),
    Pretraining("vit_b16", "dino", "vit_base_patch16_224.dino"),
    # Oquab et al., DINOv2, TMLR 2024, arXiv 2304.07193; patches of 14 are resampled to 16 voxels
    Pretraining("vit_s16", "dinov2", "vit_small_patch14_dinov2.lvd142m", rebuild=True),
    Pretraining("vit_b16", "dinov2", "vit_base_patch14_dinov2.lvd142m", rebuild=True),
    # Liu et al., Swin Transformer, ICCV 2021, arXiv 2103.14030
    Pretraining("swin_tiny", "in1k", "swin_tiny_patch4_window7_224.ms_in1k", "mit"),
    Pretraining("swin_tiny", "in21k", "swin_tiny_patch4_window7_224.ms_in22k", "mit"),
    # of the same files, the first two blocks of stage 3 only
    Pretraining("swin_t_unet", "in1k", "swin_tiny_patch4_window7_224.ms_in1k", "mit"),
    Pretraining("swin_t_unet", "in21k", "swin_tiny_patch4_window7_224.ms_in22k", "mit"),
)
MAY_CUT_BLOCKS = frozenset({"swin_t_unet"})  # shallower than their pre-training on purpose
EMBEDDED = {"tiny_vit": "formula-vit"}  # backbone -> its weights in the package


def names(backbone: str) -> tuple[str, ...]:
    """Return the names of a backbone's weights, `none` first."""
    embedded = (EMBEDDED[backbone],) if backbone in EMBEDDED else ()
    return NONE, *embedded, *(entry.name for entry in TABLE if entry.backbone == backbone)


def find(backbone: str, name: str) -> Pretraining | None:
    """Return the table's entry, None if there is none."""
    return next((row for row in TABLE if (row.backbone, row.name) == (backbone, name)), None)


def is_path(weights: str) -> bool:
    """Whether weights are a file: a name with a folder or with the suffix of a checkpoint."""
    return "/" in weights or "\\" in weights or Path(weights).suffix.lower() in SUFFIXES


def check_path(weights: str) -> None:
    """Raise a ValueError if there is no such file."""
    path = Path(weights).expanduser()
    if not path.exists():
        raise ValueError(f"weights: there is no file '{weights}'")
    if not path.is_file():
        raise ValueError(f"weights: must be a file, got the folder '{weights}'")
