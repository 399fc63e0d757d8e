"""SPT: the most sensitive weights train, one by one or, where they are many, as a low-rank update.

Reference: He et al., Sensitivity-Aware Visual Parameter-Efficient Fine-Tuning, ICCV 2023, arXiv
2303.08566, section 3.

    s = sum over batches of (dL/dw)^2                    the sensitivity of a weight
    y = (W + B A) x     for a matrix with at least r (inputs + outputs) / alpha of the top weights
    y = (W + M * dW) x  for the others, M their top weights

for the matrices of query, key, value, the attention's projection and the MLP. The number of top
weights is the largest one that keeps within the budget.

Our choices: the budget is a share of the backbone's parameters, so that it suits every size; what
the rule leaves of it goes to the next most sensitive weights, so that it is used up exactly. Biases
and norms, a thousandth of the weights, stay frozen. L is the loss of the task. A low-rank update
has no dropout; the authors' code drops a tenth of its input, and of the slices' updates (drop
path).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import nn

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.selective.sparse import GradientSum, SparseUpdate
from methods.settings import Condition, at_least, setting
from methods.sites import HasSites, Role

LAYERS = (Role.QKV, Role.PROJ, Role.FC1, Role.FC2)
SHARE = Condition("in (0, 1]", lambda value: 0 < value <= 1)


@dataclass(frozen=True)
class Spt(Method):
    """Sensitive weights within a budget."""

    share: float = setting(
        0.005, "trained share of the backbone's parameters", SHARE, (0.0025, 0.005, 0.01)
    )
    rank: int = setting(8, "rank of the updates", at_least(1), (4, 8, 16))
    alpha: int = setting(10, "a matrix gets an update from this part of its size on", at_least(1))
    n_batches: int = setting(16, "batches of training patches that choose them", at_least(1))

    info: ClassVar[MethodInfo] = MethodInfo(
        "spt",
        "SPT",
        "He et al., Sensitivity-Aware Visual Parameter-Efficient Fine-Tuning, ICCV 2023",
        "https://arxiv.org/abs/2303.08566",
        roles=LAYERS,
        identity_at_init=True,
        identity_note="the changes of single weights and B start at zero",
        mergeable=True,
        family=Family.SELECTIVE,
        year=2023,
    )

    def rare_gradient(self) -> dict[str, str]:
        return {"*.lora_a": "B, which follows where a matrix has an update, starts at zero"}

    def inject(self, backbone: HasSites) -> None:
        """Until the gradients are seen, weights at equal distances stand for the chosen ones."""
        budget = self.expected_tuned(backbone)
        updates = []
        for site in self.find_sites(backbone, *LAYERS):
            n_parts = 3 if site.role is Role.QKV else 1
            layer = cast(nn.Linear, site.module)
            update = SensitiveLinear(layer, n_parts, self.rank)
            surgery.replace(site, update)
            updates.append(update)
        sizes = [update.weight.numel() for update in updates]
        for update, index in zip(updates, spread(budget, sizes), strict=True):
            update.set_entries(index)
        backbone.selection = SensitivitySelection(updates, self, budget)

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return the budget: the share of the backbone's parameters, at most all weights."""
        whole = sum(parameter.numel() for parameter in backbone.parameters())
        sites = self.find_sites(backbone, *LAYERS)
        most = sum(cast(torch.Tensor, site.module.weight).numel() for site in sites)
        return min(round(self.share * whole), most)


class SensitiveLinear(SparseUpdate):
    """A frozen layer of one or three matrices; any has trained entries, an update B A, or both."""

    structured: torch.Tensor  # the numbers of the matrices with an update

    def __init__(self, base: nn.Linear, n_parts: int, rank: int) -> None:
        super().__init__(base, torch.arange(0))
        self.n_parts = n_parts
        self.rank = rank
        self.set_updates([])

    def set_updates(self, numbers: Sequence[int]) -> None:
        """Give the matrices with these numbers an update: A Kaiming uniform, B zero."""
        weight = self.weight
        outputs, inputs = weight.shape[0] // self.n_parts, weight.shape[1]
        self.register_buffer("structured", torch.tensor(numbers, dtype=torch.int64))
        self.lora_a: nn.Parameter | None = None
        self.lora_b: nn.Parameter | None = None
        if numbers:
            self.lora_a = nn.Parameter(weight.new_empty(len(numbers), self.rank, inputs))
            self.lora_b = nn.Parameter(weight.new_zeros(len(numbers), outputs, self.rank))
            for part in self.lora_a:
                nn.init.kaiming_uniform_(part, a=math.sqrt(5))

    def change(self) -> torch.Tensor:
        change = super().change()
        if self.lora_a is None or self.lora_b is None:
            return change
        rows = list(change.chunk(self.n_parts))
        for number, part in enumerate(self.structured.tolist()):
            rows[part] = rows[part] + self.lora_b[number] @ self.lora_a[number]
        return torch.cat(rows)

    def shape_like(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Have what a stored network has; the numbers themselves are loaded later."""
        self.set_entries(tensors.get("index", torch.arange(0)))
        with torch.random.fork_rng(devices=[]):
            self.set_updates(tensors["structured"].tolist())

    def describe(self) -> dict[str, float]:
        """Return how many matrices have an update, and how many single weights train."""
        n_entries = 0 if self.index is None else len(self.index)
        return {"updates": len(self.structured), "entries": n_entries}


class SensitivitySelection:
    """Chooses what trains by squared gradients, within a budget."""

    def __init__(self, updates: list[SensitiveLinear], method: Spt, budget: int) -> None:
        self.updates = updates
        self.n_batches = method.n_batches
        self.alpha = method.alpha
        self.budget = budget

    def start(self) -> GradientSum:
        return GradientSum([update.weight for update in self.updates], squared=True)

    def choose(self, seen: GradientSum) -> None:
        parts = []
        costs = []
        for update, total in zip(self.updates, seen.totals, strict=True):
            for rows in total.chunk(update.n_parts):
                parts.append(rows.flatten())
                costs.append(update.rank * sum(rows.shape))
        structured, entries = allocate(parts, costs, self.budget, self.alpha)
        first = offset = 0
        for update in self.updates:
            last, size = first + update.n_parts, update.weight.numel()
            update.set_updates([n - first for n in structured if first <= n < last])
            inside = (entries >= offset) & (entries < offset + size)
            update.set_entries(entries[inside] - offset)
            first, offset = last, offset + size


def allocate(
    parts: Sequence[torch.Tensor], costs: Sequence[int], budget: int, alpha: int
) -> tuple[list[int], torch.Tensor]:
    """Return which matrices get an update, and the places of the single weights that train.

    Args:
        parts: the sensitivities of each matrix, flat.
        costs: the parameters of an update of each.
        budget: how many parameters train.
        alpha: a matrix with 1/alpha of an update's parameters among the top weights gets one.
    """
    sizes = torch.tensor([len(part) for part in parts])
    order = torch.cat([*parts]).argsort(descending=True).cpu()
    owner = torch.repeat_interleave(torch.arange(len(parts)), sizes)[order]
    update_cost = torch.tensor(costs)

    def count(n_top: int) -> tuple[torch.Tensor, int]:
        top = owner[:n_top].bincount(minlength=len(parts))
        has_update = top * alpha >= update_cost
        return has_update, int(torch.where(has_update, update_cost, top).sum())

    low, high = 0, len(order)  # the cost of `low` is within the budget, that above `high` is not
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(middle)[1] <= budget else (low, middle - 1)
    has_update, cost = count(low)
    single = ~has_update[owner]
    chosen = order[:low][single[:low]]
    rest = torch.cat([order[low:][single[low:]], order[~single]])
    entries = torch.cat([chosen, rest[: budget - cost]])
    return has_update.nonzero().flatten().tolist(), entries.sort().values


def spread(budget: int, sizes: Sequence[int]) -> list[torch.Tensor]:
    """Return places in each of some flat weights, at equal distances over all of them."""
    total, first = sum(sizes), 0
    places = []
    for size in sizes:
        low, high = (-(-end * budget // total) for end in (first, first + size))
        places.append(torch.arange(low, high) * total // budget - first)
        first += size
    return places
