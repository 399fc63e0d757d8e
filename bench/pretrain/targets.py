"""The pretexts: what a backbone learns from images drawn from formulas, by throw-away heads."""

import torch
from timm.models.vision_transformer import Block
from torch import nn
from torch.nn import functional as F

from bench.models.backbones.vit import ViTBackbone
from bench.pretrain.contours import N_CATEGORIES, SHAPES, render_contours
from bench.pretrain.random_source import N_CHANNELS
from bench.pretrain.recipe import Recipe
from bench.pretrain.scenes import N_PARTS, TEXTURES, render_scenes

MASKED_FRAC = 0.6


class DenseScenes(nn.Module):
    """Predict the other fields of `Scenes` from the image; ``part`` only if objects are nested.

    One linear map of each token of the normalised last tap gives the values of its pixels.
    """

    def __init__(self, backbone: ViTBackbone, nested: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.nested = nested
        self.n_maps = [1 + len(SHAPES), len(TEXTURES), 1, 3, N_CHANNELS, N_PARTS * nested]
        n_outputs = sum(self.n_maps) * backbone.patch_size**2
        self.head = nn.Conv2d(backbone.width, n_outputs, kernel_size=1)

    def loss(self, generator: torch.Generator, recipe: Recipe) -> torch.Tensor:
        scenes = render_scenes(generator, recipe.batch, recipe.size, self.nested)
        last = self.backbone(scenes.image, recipe.batch, 1)[-1]
        maps = F.pixel_shuffle(self.head(last), self.backbone.patch_size)
        shape, texture, boundary, offset, clean, part = torch.split(maps, self.n_maps, dim=1)
        inside = (scenes.shape > 0).float()[:, None]
        loss = F.cross_entropy(shape, scenes.shape)
        loss = loss + 0.5 * F.cross_entropy(texture, scenes.texture)
        loss = loss + F.binary_cross_entropy_with_logits(boundary[:, 0], scenes.boundary)
        loss = loss + (inside * F.smooth_l1_loss(offset, scenes.offset, reduction="none")).mean()
        loss = loss + F.mse_loss(clean, scenes.clean)
        if self.nested:
            loss = loss + F.cross_entropy(part, scenes.part)
        return loss


class Contours(nn.Module):
    """Predict the family of contours of an image, from the mean of the normalised last tap."""

    def __init__(self, backbone: ViTBackbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.width, N_CATEGORIES)

    def loss(self, generator: torch.Generator, recipe: Recipe) -> torch.Tensor:
        image, category = render_contours(generator, recipe.batch, recipe.size)
        pooled = self.backbone(image, recipe.batch, 1)[-1].mean(dim=(2, 3))
        return F.cross_entropy(self.head(pooled), category, label_smoothing=0.1)


class MaskedAutoencoder(nn.Module):
    """Paint the patches that were hidden from the encoder; the decoder is one block of timm's.

    Reference: He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022, arXiv
    2111.06377; pixels are normalised by their patch's mean and deviation, as there.
    """

    def __init__(self, backbone: ViTBackbone) -> None:
        super().__init__()
        width = backbone.width
        self.backbone = backbone
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.decoder = nn.Sequential(Block(width, num_heads=4), nn.LayerNorm(width))
        self.head = nn.Linear(width, N_CHANNELS * backbone.patch_size**2)

    def no_weight_decay(self) -> set[str]:
        return {"mask_token"}

    def loss(self, generator: torch.Generator, recipe: Recipe) -> torch.Tensor:
        backbone = self.backbone
        image = render_scenes(generator, recipe.batch, recipe.size).image
        tokens = backbone.patch_embed(image) + backbone.pos_embed  # (B, N, E)
        order = torch.rand(tokens.shape[:2], generator=generator).argsort(dim=1)
        n_seen = round((1 - MASKED_FRAC) * tokens.shape[1])
        seen = order[:, :n_seen, None].expand(-1, -1, tokens.shape[2])
        x = tokens.gather(1, seen)
        for block in backbone.blocks:
            x = block(x)
        x = self.mask_token.expand_as(tokens).scatter(1, seen, backbone.norm(x))
        painted = self.head(self.decoder(x + backbone.pos_embed))
        target = F.unfold(image, backbone.patch_size, stride=backbone.patch_size).transpose(1, 2)
        deviation = target.std(2, keepdim=True).clamp_min(0.1)
        target = (target - target.mean(2, keepdim=True)) / deviation
        hidden = torch.ones(tokens.shape[:2]).scatter(1, order[:, :n_seen], 0)
        return (((painted - target) ** 2).mean(dim=2) * hidden).sum() / hidden.sum()


def build_pretext(
    backbone: ViTBackbone, pretext: str
) -> DenseScenes | Contours | MaskedAutoencoder:
    """Return the pretext of that name around a backbone, which it trains."""
    if pretext == "contours":
        return Contours(backbone)
    if pretext == "mae":
        return MaskedAutoencoder(backbone)
    return DenseScenes(backbone, nested=pretext == "dense")
