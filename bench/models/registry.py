"""The backbones and decoders by name: facts and the places of their builders, without torch."""

from dataclasses import replace
from importlib import import_module
from typing import Any

from bench.models.backbones.info import MEDTUNING, OWN, TIMM, BackboneInfo, DecoderInfo
from bench.models.weights import catalogue
from methods.settings import suggest

VIT = "Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021, arXiv 2010.11929"
DEIT = "Touvron et al., Training data-efficient image transformers, ICML 2021, arXiv 2012.12877"
SWIN = "Liu et al., Swin Transformer, ICCV 2021, arXiv 2103.14030"
CAO = "Cao et al., Swin-Unet, ECCV Workshops 2022, arXiv 2105.05537"

BUILDERS: dict[str, str] = {  # family of backbones -> "module:function"
    "vit": "bench.models.backbones.vit:build_vit",
    "swin": "bench.models.backbones.swin:build_swin",
    "timm": "bench.models.backbones.any_timm:build_timm",
}
DECODER_FILES = "bench.models.decoders"
UPERNET = f"{DECODER_FILES}.upernet:build_upernet"
SWIN_UNET = f"{DECODER_FILES}.swin_unet:build_swin_unet"
_DECODERS = (
    DecoderInfo("linear", "Linear decoder", f"{DECODER_FILES}.linear:build_linear_decoder"),
    DecoderInfo("light", "Light decoder", f"{DECODER_FILES}.light:build_light_decoder"),
    DecoderInfo("upernet", "UPerNet", UPERNET),
    DecoderInfo("upernet_medtuning", "UPerNet of Med-Tuning's code", f"{UPERNET}_medtuning"),
    DecoderInfo("swin_unet", "Swin U-Net", SWIN_UNET, needs_swin=True),
    DecoderInfo(
        "swin_unet_medtuning", "Swin U-Net of Med-Tuning's code", f"{SWIN_UNET}_medtuning", True
    ),
)
DECODERS = {info.name: info for info in _DECODERS}


def _row(name: str, what: str, n_million: float, *facts: Any) -> BackboneInfo:
    """Return an entry; ``facts`` are the reference, the multiple, the family and the decoder."""
    row = BackboneInfo(name, f"{what} ({n_million} M parameters)", *facts)
    return replace(row, is_swin=row.family == "swin")


_INFOS = (
    _row("tiny_vit", "Tiny ViT: 6 blocks, width 128, patch 8", 1.3, VIT, 8, "vit", "linear"),
    _row("tiny_vit4", "Tiny ViT with patch 4: 6 blocks, width 128", 1.6, VIT, 4, "vit", "linear"),
    _row("tiny_swin", "Tiny Swin: 2/2/2/2 blocks, width 24", 1.3, SWIN, 32, "swin"),
    _row("vit_ti16", "ViT-Ti/16: 12 blocks, width 192", 5.5, DEIT, 16, "vit"),
    _row("vit_s16", "ViT-S/16: 12 blocks, width 384", 22, DEIT, 16, "vit"),
    _row("vit_b16", "ViT-B/16: 12 blocks, width 768", 86, VIT, 16, "vit", "upernet"),
    # Swin's authors decode its maps by UPerNet as well
    _row("swin_tiny", "Swin-T: 2/2/6/2 blocks, width 96", 28, SWIN, 32, "swin", "upernet"),
    _row("swin_t_unet", "Swin-T U-Net: 2/2/2/2 blocks, width 96", 20, CAO, 32, "swin", "swin_unet"),
)
BACKBONES = {info.name: replace(info, weights=catalogue.names(info.name)) for info in _INFOS}


def names() -> list[str]:
    """Return the names of all backbones."""
    return list(BACKBONES)


def check_name(name: str) -> str:
    """Return the name; raise a ValueError with the nearest known one if there is no such one."""
    return get(name).name


def get(name: str) -> BackboneInfo:
    """Return the facts of one of `names`, or of ``timm:`` and timm's name of a network.

    A user's own is ``package.module:NAME``, a `BackboneInfo` whose family is "module:function".
    Raises: ValueError if there is no such backbone, or if timm's is no plain ViT or Swin-V1.
    """
    if name.startswith(TIMM):
        return resolve("bench.models.backbones.any_timm:describe")(name)
    if ":" in name:
        return _import_own(name)
    if name not in BACKBONES:
        raise ValueError(f"unknown backbone '{name}'{suggest(name, [*names(), TIMM + 'NAME'])}")
    return BACKBONES[name]


def _import_own(path: str) -> BackboneInfo:
    """Return the facts of a user's own backbone, under the path as its name."""
    module = path.partition(":")[0]
    try:
        found = resolve(path)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module itself imports something that is missing
        hint = "run from the folder that contains it"
        raise ValueError(f"backbone '{path}': there is no module '{error.name}' ({hint})") from None
    except AttributeError:
        found = None
    if not isinstance(found, BackboneInfo):
        raise ValueError(f"backbone '{path}': must be a BackboneInfo, got {found!r:.80}")
    return replace(found, name=path)


def get_builder(info: BackboneInfo) -> Any:
    """Return the function that builds a backbone of a family."""
    return resolve(BUILDERS.get(info.family, info.family))


def get_decoder(name: str, backbone: str) -> DecoderInfo:
    """Return the facts of a decoder: one of `DECODERS`, ``own`` or ``medtuning``.

    Raises: ValueError if there is no such decoder or backbone, or if they do not fit.
    """
    info = get(backbone)
    if name == OWN:
        return DECODERS[info.decoder]
    if name == MEDTUNING:
        name = f"{info.decoder}_{MEDTUNING}"
        if name not in DECODERS:
            rule = "needs a backbone with UPerNet or Swin U-Net"
            hint = f"its own decoder is {info.decoder}; --decoder own takes that"
            raise ValueError(f"{MEDTUNING}: {rule}, got '{backbone}' ({hint})")
    if name not in DECODERS:
        raise ValueError(f"unknown decoder '{name}'{suggest(name, [OWN, MEDTUNING, *DECODERS])}")
    decoder = DECODERS[name]
    if decoder.needs_swin and not info.is_swin:
        hint = f"its own decoder is {info.decoder}"
        raise ValueError(f"{name}: must decode a Swin Transformer, got '{backbone}' ({hint})")
    return decoder


def resolve(path: str) -> Any:
    """Import and return what is named as ``module:function``."""
    module, _, function = path.partition(":")
    return getattr(import_module(module), function)


def check_fit(name: str, weights: str, image_size: tuple[int, int]) -> None:
    """Raise a ValueError if weights are neither the backbone's nor a file, or the size is wrong."""
    info = get(name)
    if catalogue.is_path(weights):
        catalogue.check_path(weights)
    elif weights not in info.weights:
        hint = suggest(weights, list(info.weights))
        raise ValueError(f"{name}: unknown weights '{weights}'{hint} (or a file)")
    (height, width), unit = image_size, info.multiple_of
    if height % unit or width % unit:
        raise ValueError(f"{name}: slices must be divisible by {unit}, got {height}x{width}")
