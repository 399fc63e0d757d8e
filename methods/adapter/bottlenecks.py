"""Bottleneck adapters: two layers with a skip, behind the frozen branches or behind the block.

Reference: Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019, arXiv
1902.00751, section 2.1; Pfeiffer et al., AdapterFusion, EACL 2021, arXiv 2005.00247, section 3;
Steitz and Roth, Adapters Strike Back, CVPR 2024, arXiv 2406.06820, section 3.

    A(h) = h + W_up f(W_down h + b_down) + b_up
    houlsby:       x = x + A_1(attention(LN(x))),   x = x + A_2(MLP(LN(x)))       f = GELU
    pfeiffer:      x = x + attention(LN(x)),        x = x + A(MLP(LN(x)))         f = ReLU
    adapter_plus:  x = block(x) + gamma * (W_up f(W_down block(x) + b_down) + b_up)   f = GELU

Weights start from a normal distribution with deviation 0.01, cut off at two deviations, biases at
zero, gamma at one. Pfeiffer's start from N(0, 0.02^2).

Our choices: Houlsby's deviation is the paper's, the authors' code has 0.001; the norms, which
Houlsby trains as well, stay frozen unless ``train_norms`` is set. Pfeiffer's adapter is behind the
MLP inside its branch: a transformer with norms in front has no norm behind the residual, where the
paper's adapter reads; its width is 48 at every stage, a sixteenth of 768. Adapter+ drops whole
adapters with ``drop_path`` (the authors' 0.1), slice by slice.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from timm.layers import DropPath
from torch import nn

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.selective.norm import list_norms
from methods.settings import RATE, at_least, setting
from methods.sites import HasSites, Role, Site
from methods.wrappers import Behind

STD = 0.01
NEAR = "near the identity: the weights start small, not at zero"
RANDOM = "random weights of deviation 0.02"


@dataclass(frozen=True)
class Houlsby(Method):
    """An adapter behind the attention and one behind the MLP."""

    bottleneck: int = setting(64, "width of the bottleneck", at_least(1), (8, 16, 64))
    train_norms: bool = setting(False, "train the backbone's norms, too")

    info: ClassVar[MethodInfo] = MethodInfo(
        "houlsby",
        "Houlsby adapter",
        "Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019",
        "https://arxiv.org/abs/1902.00751",
        roles=(Role.ATTN, Role.MLP),
        identity_at_init=False,
        identity_note=NEAR,
        family=Family.ADAPTER,
        year=2019,
    )

    @property
    def tunes_backbone(self) -> bool:
        return self.train_norms

    def inject(self, backbone: HasSites) -> None:
        for site in self.find_sites(backbone, Role.ATTN, Role.MLP):
            adapter = Adapter(site.width, self.bottleneck, nn.GELU(), STD)
            surgery.replace(site, Behind(adapter, site.module))
        if self.train_norms:
            surgery.thaw(list_norms(backbone, self.choose_blocks(backbone)))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 2 (2 E b + b + E), summed over the blocks, and the norms if they train."""
        total = count_bottlenecks(self.find_sites(backbone, Role.ATTN, Role.MLP), self.bottleneck)
        if self.train_norms:
            norms = list_norms(backbone, self.choose_blocks(backbone))
            total += sum(parameter.numel() for parameter in norms)
        return total


@dataclass(frozen=True)
class Pfeiffer(Method):
    """An adapter behind the MLP."""

    bottleneck: int = setting(48, "width of the bottleneck", at_least(1), (8, 16, 48))

    info: ClassVar[MethodInfo] = MethodInfo(
        "pfeiffer",
        "Pfeiffer adapter",
        "Pfeiffer et al., AdapterFusion: Non-Destructive Task Composition, EACL 2021",
        "https://arxiv.org/abs/2005.00247",
        roles=(Role.MLP,),
        identity_at_init=False,
        identity_note=RANDOM,
        family=Family.ADAPTER,
        year=2021,
    )

    def inject(self, backbone: HasSites) -> None:
        for site in self.find_sites(backbone, Role.MLP):
            adapter = Adapter(site.width, self.bottleneck, nn.ReLU(), 2 * STD, limit=50)
            surgery.replace(site, Behind(adapter, site.module))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 2 E b + b + E, summed over the blocks."""
        return count_bottlenecks(self.find_sites(backbone, Role.MLP), self.bottleneck)


@dataclass(frozen=True)
class AdapterPlus(Method):
    """An adapter with learnt channel scales behind every block."""

    bottleneck: int = setting(8, "width of the bottleneck", at_least(1), (8, 16, 64))
    drop_path: float = setting(0.1, "share of the slices whose adapter is dropped", RATE)

    info: ClassVar[MethodInfo] = MethodInfo(
        "adapter_plus",
        "Adapter+",
        "Steitz and Roth, Adapters Strike Back, CVPR 2024",
        "https://arxiv.org/abs/2406.06820",
        roles=(Role.BLOCK,),
        identity_at_init=False,
        identity_note=NEAR,
        family=Family.ADAPTER,
        year=2024,
    )

    def inject(self, backbone: HasSites) -> None:
        for site in self.find_sites(backbone, Role.BLOCK):
            adapter = ScaledAdapter(site.width, self.bottleneck, self.drop_path)
            surgery.replace(site, Behind(adapter, site.module))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 2 E b + b + 2 E, summed over the blocks."""
        sites = self.find_sites(backbone, Role.BLOCK)
        return count_bottlenecks(sites, self.bottleneck) + sum(site.width for site in sites)


class Adapter(nn.Module):
    """h + W_up f(W_down h + b_down) + b_up on tokens (..., E); ``limit`` is in deviations."""

    def __init__(
        self, width: int, hidden: int, activation: nn.Module, std: float, limit: float = 2
    ) -> None:
        super().__init__()
        self.down = nn.Linear(width, hidden)
        self.activation = activation
        self.up = nn.Linear(hidden, width)
        for layer in (self.down, self.up):
            nn.init.trunc_normal_(layer.weight, std=std, a=-limit * std, b=limit * std)
            nn.init.zeros_(layer.bias)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return h + self.change(h)

    def change(self, h: torch.Tensor) -> torch.Tensor:
        """Return what the adapter adds to h."""
        return self.up(self.activation(self.down(h)))


class ScaledAdapter(Adapter):
    """x + gamma * (W_up GELU(W_down x + b_down) + b_up), tokens (B*D, P+N, E), dropped by slice."""

    def __init__(self, width: int, hidden: int, drop_path: float) -> None:
        super().__init__(width, hidden, nn.GELU(), STD)
        self.gamma = nn.Parameter(torch.ones(width))
        self.drop_path = DropPath(drop_path)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return h + self.drop_path(self.gamma * self.change(h))


def count_bottlenecks(sites: list[Site], hidden: int) -> int:
    """Return 2 E b + b + E, summed over some sites."""
    return sum(2 * site.width * hidden + hidden + site.width for site in sites)
