"""FacT: one low-rank decomposition of all updates of all blocks.

Reference: Jie and Deng, FacT: Factor-Tuning for Lightweight Adaptation on Vision Transformer, AAAI
2023, arXiv 2212.03145, section 3.

    y = W x + s * V dropout(S_i U x),     U (r, E) and V (E, r) shared by all layers, V = 0
    fact_tt:  S_i is a matrix of its own
    fact_tk:  S_i = sum_k P_ki C_k,       C (r, r, r) and P (r, number of layers) shared

for query, key, value and the attention's projection; the first layer of the MLP counts as several
layers that share their input, the second one as several that share their output.

Our choices: where widths differ, as in Swin, which the authors leave out, there is one U, V (C, P)
for each width. S_i start as torch's linear layers do, C and P Xavier uniform.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, cast

import torch
from torch import nn
from torch.nn import functional as F

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.settings import RATE, above, at_least, setting
from methods.sites import HasSites, Role, Site

LAYERS = (Role.QKV, Role.PROJ, Role.FC1, Role.FC2)
INFO = partial(
    MethodInfo,
    paper="Jie and Deng, FacT: Factor-Tuning for Lightweight Adaptation on Vision Transformer, "
    "AAAI 2023",
    url="https://arxiv.org/abs/2212.03145",
    roles=LAYERS,
    identity_at_init=True,
    identity_note="V starts at zero",
    mergeable=True,
    family=Family.LOW_RANK,
    year=2023,
)


@dataclass(frozen=True)
class FactTt(Method):
    """Tensor-train: a small matrix for each layer between two shared ones."""

    rank: int = setting(16, "rank of the updates", at_least(1), (4, 8, 16))
    scale: float = setting(1.0, "factor of the updates", above(0), (0.01, 0.1, 1.0, 10.0))
    dropout: float = setting(0.1, "dropout in front of V", RATE, (0.0, 0.1))

    info: ClassVar[MethodInfo] = INFO("fact_tt", "FacT-TT")

    def late_gradient(self) -> dict[str, str]:
        return {
            f"*.{part}": "V starts at zero" for part in ("shared.down.weight", "cores.matrices")
        }

    def inject(self, backbone: HasSites) -> None:
        for sites in group_by_width(self.find_sites(backbone, *LAYERS)):
            shared = Shared(sites[0].width, self.rank)
            for site in sites:
                layer = cast(nn.Linear, site.module)
                parts = tuple(range(count_parts(site)))
                cores = Cores(len(parts), self.rank, shares_output=site.role is Role.FC2)
                strength = (self.scale, self.dropout)
                surgery.replace(site, FactLinear(layer, shared, cores, strength, parts))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 2 E r for each width, and r^2 for each matrix of E x E: 12 a block."""
        sites = self.find_sites(backbone, *LAYERS)
        widths = {site.width for site in sites}
        return 2 * self.rank * sum(widths) + self.rank**2 * sum(map(count_parts, sites))


@dataclass(frozen=True)
class FactTk(Method):
    """Tucker: the small matrices are mixtures of r shared ones."""

    rank: int = setting(32, "rank of the updates", at_least(1), (8, 16, 32))
    scale: float = setting(1.0, "factor of the updates", above(0), (0.01, 0.1, 1.0, 10.0))
    dropout: float = setting(0.1, "dropout in front of V", RATE, (0.0, 0.1))

    info: ClassVar[MethodInfo] = INFO("fact_tk", "FacT-TK")

    def late_gradient(self) -> dict[str, str]:
        names = ("shared.down.weight", "tucker.mixtures", "tucker.core")
        return {f"*.{name}": "V starts at zero" for name in names}

    def inject(self, backbone: HasSites) -> None:
        for sites in group_by_width(self.find_sites(backbone, *LAYERS)):
            shared = Shared(sites[0].width, self.rank)
            tucker = Tucker(self.rank, sum(map(count_parts, sites)))
            first = 0
            for site in sites:
                layer = cast(nn.Linear, site.module)
                parts = tuple(range(count_parts(site)))
                cores = Mixture(tucker, slice(first, first + len(parts)))
                strength = (self.scale, self.dropout)
                surgery.replace(site, FactLinear(layer, shared, cores, strength, parts))
                first += len(parts)

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 2 E r + r^3 for each width, and r for each matrix of E x E: 12 a block."""
        sites = self.find_sites(backbone, *LAYERS)
        widths = {site.width for site in sites}
        fixed = 2 * self.rank * sum(widths) + self.rank**3 * len(widths)
        return fixed + self.rank * sum(map(count_parts, sites))


class Shared(nn.Module):
    """U and V; V starts at zero."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, width, bias=False)
        nn.init.zeros_(self.up.weight)


class Cores(nn.Module):
    """S of one layer, (n, r, r), as torch starts a linear layer of that size."""

    def __init__(self, n_matrices: int, rank: int, *, shares_output: bool) -> None:
        super().__init__()
        limit = 1 / math.sqrt(rank * n_matrices if shares_output else rank)
        start = torch.empty(n_matrices, rank, rank).uniform_(-limit, limit)
        self.matrices = nn.Parameter(start)

    def forward(self) -> torch.Tensor:
        return self.matrices


class Mixture(nn.Module):
    """S of one layer, (n, r, r), out of the shared C and some columns of P."""

    def __init__(self, tucker: "Tucker", columns: slice) -> None:
        super().__init__()
        self.tucker = tucker
        self.columns = columns

    def forward(self) -> torch.Tensor:
        return torch.einsum("kn,kqr->nqr", self.tucker.mixtures[:, self.columns], self.tucker.core)


class Tucker(nn.Module):
    """C (r, r, r) and P (r, number of matrices)."""

    def __init__(self, rank: int, n_matrices: int) -> None:
        super().__init__()
        self.core = nn.Parameter(torch.empty(rank, rank, rank))
        self.mixtures = nn.Parameter(torch.empty(rank, n_matrices))
        nn.init.xavier_uniform_(self.core)
        nn.init.xavier_uniform_(self.mixtures)


class FactLinear(surgery.Folding):
    """A frozen layer whose E x E matrices, or those of some ``parts``, get an update s V S_i U.

    Its matrices share the input, (..., E) -> (..., n E), or the output, (..., n E) -> (..., E).
    ``strength`` is the scale and the dropout in front of V.
    """

    def __init__(
        self,
        base: nn.Linear,
        shared: Shared,
        cores: Cores | Mixture,
        strength: tuple[float, float],
        parts: tuple[int, ...],
    ) -> None:
        super().__init__(base)
        self.shared = shared
        self.cores = cores
        self.scale, rate = strength
        self.dropout = nn.Dropout(rate)
        self.parts = parts
        self.shares_output = base.in_features > base.out_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.base(x)
        if self.is_merged:
            return y
        cores, down, up = self.cores(), self.shared.down, self.shared.up
        if self.shares_output:
            inputs = down(x.reshape(*x.shape[:-1], len(cores), -1))  # (..., n, r)
            hidden = F.linear(inputs.flatten(-2), cores.transpose(0, 1).flatten(1))
            return y + self.scale * up(self.dropout(hidden))
        hidden = F.linear(down(x), cores.flatten(0, 1))  # (..., n r)
        change = self.scale * up(self.dropout(hidden).unflatten(-1, (len(cores), -1)))
        whole = list(y.chunk(y.shape[-1] // change.shape[-1], dim=-1))
        for number, part in enumerate(self.parts):
            whole[part] = whole[part] + change[..., number, :]
        return torch.cat(whole, dim=-1)

    def fold(self) -> dict[str, torch.Tensor]:
        update = self.scale * self.shared.up.weight @ self.cores() @ self.shared.down.weight
        if self.shares_output:
            return {"weight": self.weight + torch.cat([*update], dim=1)}
        rows = list(self.weight.chunk(len(self.weight) // update.shape[1]))
        for number, part in enumerate(self.parts):
            rows[part] = rows[part] + update[number]
        return {"weight": torch.cat(rows)}


def group_by_width(sites: list[Site]) -> Iterator[list[Site]]:
    """Yield the sites of each width, in the order of the blocks."""
    for width in dict.fromkeys(site.width for site in sites):
        yield [site for site in sites if site.width == width]


def count_parts(site: Site) -> int:
    """Return how many matrices of E x E a layer holds."""
    weight = cast(torch.Tensor, site.module.weight)
    n_parts, rest = divmod(max(weight.shape), site.width)
    if rest:
        rule = f"layers must be a multiple of the width {site.width}"
        raise ValueError(f"fact: {rule}, got {max(weight.shape)} at {site.role} of {site.index}")
    return n_parts
