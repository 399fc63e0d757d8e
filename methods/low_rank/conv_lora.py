"""Conv-LoRA: LoRA with a mixture of convolutions of several scales between its two matrices.

Reference: Zhong et al., Convolution Meets LoRA: Parameter Efficient Finetuning for Segment Anything
Model, ICLR 2024, arXiv 2401.17868, section 3.2.

    y = W x + (alpha / r) * B (z + E_i(z)),   z = A dropout(x)
    E_i(z) = resize(GELU(conv3x3(resize(z, i times larger))), back),   i chosen for every image

for the layers that make query, key and value. The gate chooses one of n experts by the mean of z
over the image, in training with noise; its choice does not weigh the expert. To keep experts in
use, 0.01 * (CV^2(importance) + CV^2(load)) is added to the loss (Shazeer et al., ICLR 2017,
section 4). A starts Kaiming uniform, B, both gates and the convolutions' biases at zero.

Our choices: class and register tokens have no convolution and no vote. In Swin every window is an
image of its own, since the layer sees windows. Experts are gathered image by image, without the
logarithms of the authors' code, which overflow in half precision.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import nn
from torch.nn import functional as F

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.batch import BatchSum, Noise
from methods.executed import is_repeating
from methods.settings import RATE, above, at_least, setting
from methods.sites import HasSites, Role, TokenLayout

SUM_IMAGES = BatchSum()


@dataclass(frozen=True)
class ConvLora(Method):
    """LoRA with convolutional experts."""

    rank: int = setting(3, "rank of the update", at_least(1), (3, 8, 16))
    alpha: float = setting(32.0, "the update is scaled by alpha / rank", above(0), (8.0, 32.0))
    n_experts: int = setting(8, "experts; number i enlarges i times", at_least(2), (4, 8))
    balance: float = setting(0.01, "weight of the loss that balances the experts", at_least(0))
    dropout: float = setting(0.0, "dropout before A", RATE, (0.0, 0.1))

    info: ClassVar[MethodInfo] = MethodInfo(
        "conv_lora",
        "Conv-LoRA",
        "Zhong et al., Convolution Meets LoRA: Parameter Efficient Finetuning for Segment Anything "
        "Model, ICLR 2024",
        "https://arxiv.org/abs/2401.17868",
        roles=(Role.QKV,),
        identity_at_init=True,
        identity_note="B starts at zero",
        family=Family.LOW_RANK,
        year=2024,
        chunk_note="the experts are balanced over the slices of a chunk, and the noise is drawn "
        "chunk by chunk",
        compile_note="as the numbers of images of its experts depend on the data",
    )

    def late_gradient(self) -> dict[str, str]:
        return {"*.lora_a": "B, which follows, starts at zero"}

    def rare_gradient(self) -> dict[str, str]:
        return {"*.experts.*": "an expert that no image chooses gets no gradient"}

    def inject(self, backbone: HasSites) -> None:
        for site in self.find_sites(backbone, Role.QKV):
            layer, scale = cast(nn.Linear, site.module), self.alpha / self.rank
            update = ConvUpdate(layer, site.layout, (self.rank, self.n_experts), scale)
            update.balance = self.balance
            update.dropout = nn.Dropout(self.dropout)
            surgery.replace(site, update)

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 4 E r + n (9 r^2 + r) + 2 r n, summed over the blocks, for n experts."""
        total = 0
        for site in self.find_sites(backbone, Role.QKV):
            total += 4 * site.width * self.rank
            total += self.n_experts * (9 * self.rank**2 + 3 * self.rank)
        return total


class KeptLosses:
    """Losses of the last forward pass; copies are empty."""

    def __init__(self) -> None:
        self.values: list[torch.Tensor] = []

    def __reduce__(self) -> "tuple[type[KeptLosses], tuple[()]]":
        return KeptLosses, ()


class ConvUpdate(nn.Module):
    """A frozen layer on tokens (images, P+N, E) with its update; ``sizes`` are r and n."""

    balance = 0.0

    def __init__(
        self, base: nn.Linear, layout: TokenLayout, sizes: tuple[int, int], scale: float
    ) -> None:
        super().__init__()
        rank, n_experts = sizes
        self.base = base
        self.layout = layout
        self.scale = scale
        self.dropout = nn.Dropout(0.0)
        self.lora_a = nn.Parameter(torch.empty(rank, base.in_features))
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank))
        self.gate = nn.Parameter(torch.zeros(rank, n_experts))
        self.noise = nn.Parameter(torch.zeros(rank, n_experts))
        self.experts = nn.ModuleList(nn.Conv2d(rank, rank, 3, padding=1) for _ in range(n_experts))
        self.kept = KeptLosses()
        self.draw_noise = Noise()
        self.sum_images = BatchSum()
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))
        for expert in self.experts:
            nn.init.zeros_(cast(torch.Tensor, expert.bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        prefix, patches = self.layout.split(F.linear(self.dropout(x), self.lora_a))
        maps = self.layout.to_maps(patches)
        chosen = self._choose(patches.mean(dim=1))
        mixed = torch.zeros_like(maps)
        for number, expert in enumerate(self.experts):
            images = (chosen == number).nonzero()[:, 0]
            if len(images):
                mixed = mixed.index_copy(0, images, enlarge(maps[images], number + 1, expert))
        hidden = patches + mixed.flatten(2).transpose(1, 2)
        update = F.linear(torch.cat([prefix, hidden], dim=1), self.lora_b)
        return self.base(x) + self.scale * update

    def extra_loss(self) -> torch.Tensor | None:
        """Return the balancing loss of the last forward pass in training, once."""
        kept, self.kept.values = self.kept.values, []
        return self.balance * torch.stack(kept).mean() if kept else None

    def _choose(self, means: torch.Tensor) -> torch.Tensor:
        """Return the expert of every image, by the mean (images, r) of its z."""
        dtype = self.gate.dtype  # scores are not in half precision
        clean = (means.to(dtype) @ self.gate).to(dtype)
        if not self.training:
            return clean.argmax(dim=1)
        deviation = F.softplus((means.to(dtype) @ self.noise).to(dtype)) + 0.01
        noisy = clean + deviation * self.draw_noise(clean)
        chosen = noisy.argmax(dim=1)
        loss = unbalance(clean, noisy, deviation, self.sum_images)
        if not is_repeating():  # it was kept the first time
            self.kept.values.append(loss)
        return chosen


def enlarge(maps: torch.Tensor, factor: int, expert: nn.Module) -> torch.Tensor:
    """Return maps (images, r, h, w) through an expert that sees them some times larger."""
    height, width = maps.shape[-2:]
    large = (factor * height, factor * width)
    seen = F.interpolate(maps, size=large, mode="bicubic") if factor > 1 else maps
    y = F.gelu(expert(seen))
    y = F.interpolate(y, size=(height, width), mode="bicubic") if factor > 1 else y
    return y.to(maps.dtype)


def unbalance(
    clean: torch.Tensor,
    noisy: torch.Tensor,
    deviation: torch.Tensor,
    sum_images: Callable[[torch.Tensor], torch.Tensor] = SUM_IMAGES,
) -> torch.Tensor:
    """Return CV^2 of importance and load of the experts, from their scores (images, n).

    An expert's importance is how many images chose it, its load how many would by chance.
    """
    best, second = noisy.topk(2, dim=1).values.unbind(dim=1)
    is_best = noisy == best[:, None]
    threshold = torch.where(is_best, second[:, None], best[:, None])
    load = sum_images(torch.special.ndtr((clean - threshold) / deviation))
    importance = sum_images(is_best.float())
    return squared_variation(importance) + squared_variation(load)


def squared_variation(x: torch.Tensor) -> torch.Tensor:
    """Return the squared coefficient of variation of the entries."""
    return x.var() / (x.mean() ** 2 + 1e-10)
