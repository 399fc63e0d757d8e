"""Class and register tokens: our features against timm's, with the tokens and without them.

    python -m benchmarks.network.prefix_tokens [--all]

For every family of ViTs and Swins that can be a backbone, timm's network with random weights, four
blocks (two a stage in Swin) and a width of 48, and ours with the same weights, which it has read
from a file. A figure is the norm of the difference of one tap's features, divided by the norm of
timm's; the table has the largest of the four taps. ``--all`` compares every architecture of timm
that can be a backbone, prints no table but what differs, and takes some minutes. Exit code 1 if a
difference with the tokens is above 1e-5.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import timm
import torch
from safetensors.torch import save_file
from timm.layers import LayerScale
from timm.models.swin_transformer import SwinTransformer

from bench.models.backbones import any_timm
from bench.models.backbones.base import Backbone
from bench.models.backbones.info import TIMM
from bench.models.backbones.swin import SwinBackbone
from bench.models.backbones.vit import TOKENS, ViTBackbone
from bench.models.weights.load import load_weights

TOLERANCE = 1e-5
FAMILIES = {
    "ViT, AugReg, MAE, DINO": "vit_tiny_patch16_224",
    "DeiT": "deit_tiny_patch16_224",
    "DeiT, distilled": "deit_tiny_distilled_patch16_224",
    "DeiT III": "deit3_small_patch16_224",
    "FlexiViT": "flexivit_small",
    "DINOv2": "vit_small_patch14_dinov2",
    "DINOv2 with registers": "vit_small_patch14_reg4_dinov2",
    "CLIP": "vit_base_patch32_clip_224",
    "CLIP with QuickGELU": "vit_base_patch32_clip_quickgelu_224",
    "SigLIP": "vit_base_patch16_siglip_224",
    "SigLIP, pooled by its mean": "vit_base_patch16_siglip_gap_224",
    "registers alone": "vit_wee_patch16_reg1_gap_256",
    "registers with positions": "vit_so150m_patch16_reg4_gap_256",
    "C-RADIO": "vit_base_patch16_radio_v3",
    "TIPSv2": "vit_base_patch14_reg1_tipsv2",
    "BEiT-3": "beit3_base_patch16_224",
    "EVA": "eva_large_patch14_196",
    "InternViT": "vit_intern300m_patch14_448",
    "Swin": "swin_tiny_patch4_window7_224",
    "Swin, searched": "swin_s3_tiny_224",
}
VIT = {"embed_dim": 48, "depth": 4, "num_heads": 3}
SWIN = {"embed_dim": 12, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 3, 4)}


class Row(NamedTuple):
    """One architecture."""

    name: str
    n_tokens: int
    kept: float  # the largest relative difference of a tap
    dropped: float


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every architecture, no table")
    if parser.parse_args().all:
        return compare_all()
    rows = {family: compare(name) for family, name in FAMILIES.items()}
    print("\n".join(format_table(rows)))
    return int(any(row.kept > TOLERANCE for row in rows.values()))


def compare_all() -> int:
    rows = [compare(name) for name in iter_accepted()]
    differing = [row for row in rows if row.kept > TOLERANCE]
    with_tokens = [row for row in rows if row.n_tokens]
    print(f"{len(rows)} architectures, {len(with_tokens)} of them with tokens in front")
    print(f"largest difference with the tokens: {max(row.kept for row in rows):.1e}")
    print(f"smallest without them: {min(row.dropped for row in with_tokens):.1e}")
    for row in differing:
        print(row)
    return int(bool(differing))


def iter_accepted() -> Iterator[str]:
    for name in timm.list_models():
        try:
            any_timm.describe(TIMM + name)
        except ValueError:
            continue
        yield name


@torch.no_grad()
def compare(name: str) -> Row:
    """Compare a small version of one of timm's architectures with our backbone."""
    torch.manual_seed(0)
    published = build_small(name)
    randomise(published)
    n_tokens = getattr(published, "num_prefix_tokens", 0)
    slices = torch.randn(2, 3, *published.patch_embed.img_size)
    differences = []
    with TemporaryDirectory() as folder:
        file = Path(folder) / "timm.safetensors"
        save_file(published.state_dict(), file)
        for is_dropped in (False, True):
            ours = wrap(name, build_small(name))
            if is_dropped:
                ours.drop_prefix_tokens()
            load_weights(ours, str(file))
            expected = list_taps(published, slices, ours)
            pairs = zip(ours.eval()(slices, 1, 2), expected, strict=True)
            differences.append(max(float((a - b).norm() / b.norm()) for a, b in pairs))
    return Row(name, n_tokens, *differences)


def build_small(name: str) -> Any:
    """Return timm's architecture, on a grid of 3 x 4 patches (Swin: 8 x 16), with few numbers."""
    outline = any_timm._outline(name)
    if isinstance(outline, SwinTransformer):
        return timm.create_model(name, num_classes=0, img_size=(32, 64), window_size=1, **SWIN)
    patch = outline.patch_embed.patch_size[0]
    options = {"img_size": (3 * patch, 4 * patch), "dynamic_img_size": False, **VIT}
    return timm.create_model(name, num_classes=0, **options).eval()


def wrap(name: str, network: Any) -> Backbone:
    kind = SwinBackbone if isinstance(network, SwinTransformer) else ViTBackbone
    return kind(name, network)


def randomise(network: Any) -> None:
    """Give tokens and layer scales the size that they have after a pre-training."""
    for token in TOKENS:
        if getattr(network, token, None) is not None:
            torch.nn.init.normal_(getattr(network, token))
    for module in network.modules():
        if isinstance(module, LayerScale):
            torch.nn.init.ones_(module.gamma)


def list_taps(network: Any, slices: torch.Tensor, ours: Backbone) -> list[torch.Tensor]:
    """Return timm's features at our taps; the last one is normalised."""
    if isinstance(ours, SwinBackbone):
        return network.eval().forward_intermediates(slices, norm=True, intermediates_only=True)
    assert isinstance(ours, ViTBackbone)
    final, maps = network.eval().forward_intermediates(slices, indices=list(ours.taps[:-1]))
    patches = final[:, network.num_prefix_tokens :].transpose(1, 2)
    return [*maps, patches.reshape(maps[-1].shape)]


def format_table(rows: dict[str, Row]) -> list[str]:
    lines = [
        "| Family | timm's name | Tokens | With them | Without |",
        "| --- | --- | --: | --: | --: |",
    ]
    for family, row in rows.items():
        figures = f"{row.n_tokens} | {row.kept:.1g} | {row.dropped:.2g}"
        lines.append(f"| {family} | `{row.name}` | {figures} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
