"""Med-Adapter: intra-stage enhancement and inter-stage interaction for volumes read slice by slice.

Reference: Shen et al., Med-Tuning: A New Parameter-Efficient Tuning Framework for Medical
Volumetric Segmentation, MIDL 2024, arXiv 2304.10880, section 3.

After every block, on its output x, with hidden width h = E // ratio:

    z = GELU(W_down x)                                       folded to a volume (B, h, D, gh, gw)
    u = Conv1(c_3(z) + c_5(z) + |IFFT3(w * FFT3(z) + b)|)
    g = Conv1(concat(u, T(g of the previous stage)))         in the last block of a stage, else u
    y = x + GELU(W_up (z + g))
    c_k(z) = ReLU(BN(DW(k,1,1)(DW(1,k,k)(z))))

DW is a depthwise convolution and Conv1 a 1x1x1 one. w and b are real, one value per depth
frequency, and start at one. T is a 1x1x1 convolution where all stages have one grid, and a (1,3,3)
convolution of stride (1,2,2) where the grid halves from stage to stage. Initialisation is torch's
default, as in the authors' code, hence not the identity.

Our choices: since w and b do not depend on the in-plane frequencies, the in-plane transforms
cancel: w * FFT3(z) is a circular convolution along depth, and b is an impulse at the in-plane
origin with depth profile IFFT1(b). That is computed here, exactly, by real matrices. ``zero_init``
starts W_up and its bias at zero, so that the network starts as the frozen one. Class and register
tokens have no place in the grid: they pass the adapters unchanged (the authors' network has none).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.executed import Executed
from methods.settings import at_least, setting
from methods.sites import HasSites, Role, Site, is_pyramid


@dataclass(frozen=True)
class MedAdapter(Method):
    """An adapter after every block that sees the neighbouring slices."""

    ratio: int = setting(
        6, "token width divided by the adapter's hidden width", at_least(1), (4, 6, 8)
    )
    fourier: bool = setting(True, "the Fourier branch")
    conv3: bool = setting(True, "the branch of depthwise convolutions of size 3")
    conv5: bool = setting(True, "the branch of depthwise convolutions of size 5")
    inter_stage: bool = setting(True, "the interaction between stages")
    zero_init: bool = setting(False, "start as the identity", choices=(False, True))

    info: ClassVar[MethodInfo] = MethodInfo(
        name="med_adapter",
        title="Med-Adapter",
        paper="Shen et al., Med-Tuning: A New Parameter-Efficient Tuning Framework, MIDL 2024",
        url="https://arxiv.org/abs/2304.10880",
        roles=(Role.BLOCK,),
        identity_at_init=False,
        identity_note="torch's default initialisation, as in the authors' code; the identity with "
        "zero_init",
        family=Family.VOLUMETRIC,
        year=2024,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.fourier or self.conv3 or self.conv5):
            rule = "at least one of fourier, conv3, conv5 must be true, got none"
            raise ValueError(f"med_adapter: {rule}")

    def starts_as_identity(self) -> bool:
        return self.zero_init

    def no_gradient(self) -> dict[str, str]:
        reason = "the first link has no predecessor, so it only ever sees zeros"
        return {"*.link.first_transform.weight": reason} if self.inter_stage else {}

    def late_gradient(self) -> dict[str, str]:
        if not self.zero_init:
            return {}
        parts = ["down", "branches", "merge"] + ["link"] * self.inter_stage
        return {f"*.adapter.{part}.*": "W_up, which follows it, starts at zero" for part in parts}

    def inject(self, backbone: HasSites) -> None:
        """Raises: ValueError if the hidden width vanishes or a patch's depth is unknown."""
        memory = StageMemory()
        for site in self.find_sites(backbone, Role.BLOCK):
            if site.width // self.ratio < 2:
                limit = f"{site.width // 2}, half the width"
                raise ValueError(f"med_adapter: ratio must be <= {limit}, got {self.ratio}")
            adapter = self._build_adapter(site, backbone, memory)
            surgery.replace(site, AdaptedBlock(adapter, site.module))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 2 E h + h^2 + E + 52 h + 2 D, summed over the chosen blocks, with all branches on.

        The last block of a stage has 3 h^2 + 2 h more, or 6.5 h^2 + 2 h where the grid halves from
        stage to stage.
        """
        total = 0
        for site in self.find_sites(backbone, Role.BLOCK):
            hidden = site.width // self.ratio
            total += 2 * site.width * hidden + site.width + hidden  # W_down, W_up
            total += hidden**2 + hidden  # the 1x1x1 convolution behind the branches
            for k in self._kernels():
                total += (k * k + k + 4) * hidden  # weights, two biases, batch norm
            if self.fourier:
                total += 2 * backbone.volume.depth
            if self.inter_stage and site.last_in_stage:
                transform = 9 * (hidden // 2) * hidden if is_pyramid(backbone) else hidden**2
                total += 2 * hidden**2 + hidden + transform + hidden
        return total

    def _kernels(self) -> list[int]:
        return [3] * self.conv3 + [5] * self.conv5

    def _build_adapter(self, site: Site, backbone: HasSites, memory: StageMemory) -> Adapter:
        hidden, depth = site.width // self.ratio, backbone.volume.depth
        branches: list[nn.Module] = [SeparableConv(hidden, k) for k in self._kernels()]
        if self.fourier:
            if depth < 1:
                rule = "the backbone's volume.depth must be set before injection"
                raise ValueError(f"med_adapter: {rule}, got {depth}")
            branches.append(DepthFourier(depth))
        link = None
        if self.inter_stage and site.last_in_stage:
            ends = [each for each in self.find_sites(backbone, Role.BLOCK) if each.last_in_stage]
            previous = site.stage - 1 if site.stage - 1 in {end.stage for end in ends} else None
            link = StageLink(hidden, (previous, site.stage), memory, pyramid=is_pyramid(backbone))
        adapter = Adapter(site, hidden, branches, link)
        if self.zero_init:
            nn.init.zeros_(adapter.up.weight)
            nn.init.zeros_(adapter.up.bias)
        return adapter


class StageMemory:
    """The features g that each stage's last block leaves for the next; copies are empty."""

    def __init__(self) -> None:
        self.features: dict[int, torch.Tensor] = {}  # stage -> (B, D, N, h)

    def __reduce__(self) -> tuple[type[StageMemory], tuple[()]]:
        return StageMemory, ()  # no pass reads what another one has left


class AdaptedBlock(nn.Module):
    """A frozen block with an adapter on its output; tokens (B*D, P+N, E).

    Checkpointing computes both again one by one: the block's second pass can end within its MLP.
    """

    def __init__(self, adapter: Adapter, block: nn.Module) -> None:
        super().__init__()
        self.adapter = adapter
        self.block = block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.adapter(self.block(x))


class Adapter(Executed):
    """Bottleneck with branches across the slices; tokens (B*D, P+N, E), the P pass unchanged."""

    def __init__(
        self, site: Site, hidden: int, branches: list[nn.Module], link: StageLink | None
    ) -> None:
        super().__init__()
        self.layout = site.layout
        self.down = nn.Linear(site.width, hidden)
        self.up = nn.Linear(hidden, site.width)
        self.branches = nn.ModuleList(branches)
        self.merge = nn.Linear(hidden, hidden)
        self.link = link

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        prefix, patches = self.layout.split(x)
        z = self.run_slices(self._narrow, patches)  # (B*D, N, h)
        volume = self.layout.volume
        g = z.reshape(volume.batch, volume.depth, *self.layout.grid, -1)  # (B, D, gh, gw, h)
        g = self.run_once(self._enhance, g)
        if self.link is not None:
            g = self.link(g)
        y = patches + self.run_slices(self._widen, z + g.reshape(z.shape))
        return torch.cat([prefix, y], dim=1) if prefix.shape[1] else y

    def _narrow(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.down(x))

    def _enhance(self, z: torch.Tensor) -> torch.Tensor:
        return self.merge(reduce(torch.add, (branch(z) for branch in self.branches)))

    def _widen(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.up(x))


class SeparableConv(nn.Module):
    """Depthwise convolutions in slices, along depth, norm, ReLU; (B, D, gh, gw, h) to the same."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        half = kernel // 2
        self.in_slice = nn.Conv2d(width, width, kernel, padding=half, groups=width)
        self.along_depth = nn.Conv2d(width, width, (kernel, 1), padding=(half, 0), groups=width)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        v = self.in_slice(z.flatten(0, 1).permute(0, 3, 1, 2))  # (B*D, h, gh, gw)
        v = v.permute(0, 2, 3, 1).reshape(*z.shape[:2], -1, z.shape[-1])  # (B, D, N, h)
        v = torch.relu(self.norm(self.along_depth(v.permute(0, 3, 1, 2))))  # (B, h, D, N)
        return v.permute(0, 2, 3, 1).reshape(z.shape)


class DepthFourier(nn.Module):
    """|IFFT3(w * FFT3(z) + b)|, with w and b by depth frequency; (B, D, gh, gw, h) to the same."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(depth))
        self.bias = nn.Parameter(torch.ones(depth))
        steps = torch.arange(depth)
        offset = (steps[:, None] - steps[None, :]) % depth
        self.offset: torch.Tensor  # in the real parts of a kernel, then in its imaginary parts
        self.register_buffer("offset", torch.cat([offset, offset + depth]), persistent=False)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        depth, width = len(self.weight), z.shape[-1]
        if z.shape[1] != depth:
            hint = "one Fourier weight per slice: give patches of the training depth"
            raise ValueError(f"med_adapter: depth must be {depth}, got {z.shape[1]} ({hint})")
        with _without_autocast(z.device.type):  # complex numbers have no half precision
            exact = torch.promote_types(z.dtype, torch.float32)
            kernel, impulse = torch.fft.ifft(torch.stack([self.weight, self.bias]).to(exact))
            kernel = torch.cat([kernel.real, kernel.imag])
            # not kernel[offset]: a GPU would sort all indices for its gradient
            circulant = kernel.index_select(0, self.offset.flatten()).view_as(self.offset)
            parts = circulant @ z.to(exact).flatten(2)  # (B, 2D, N h)
            impulse = torch.cat([impulse.real, impulse.imag])[:, None].expand(-1, width)
            # not parts[:, :, :width] += impulse, whose gradient is a copy of all parts
            parts = parts + F.pad(impulse, (0, parts.shape[2] - width))
            real, imaginary = parts.reshape(len(z), 2, depth, -1).unbind(1)
            return torch.complex(real, imaginary).abs().to(z.dtype).reshape(z.shape)


class StageLink(nn.Module):
    """Mix the features of the previous stage into (B, D, gh, gw, h); keep them for the next.

    ``stages`` are the previous stage, None if it has no link, and the own one.
    """

    def __init__(
        self, width: int, stages: tuple[int | None, int], memory: StageMemory, *, pyramid: bool
    ) -> None:
        super().__init__()
        self.previous, self.stage = stages
        self.memory = memory
        memory.features[self.stage] = torch.empty(0)  # as after a pass, or the first compiles twice
        if pyramid:
            transform = nn.Conv2d(width // 2, width, 3, stride=2, padding=1)
        else:
            transform = nn.Conv2d(width, width, 1)
        self.first_transform = transform if self.previous is None else None
        self.transform = None if self.previous is None else transform
        self.mix = nn.Linear(2 * width, width)

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        g = self.mix(torch.cat([u, self._recall(u)], dim=-1))
        self.memory.features[self.stage] = g
        return g

    def _recall(self, u: torch.Tensor) -> torch.Tensor:
        if self.transform is None or self.previous is None:
            assert self.first_transform is not None
            assert self.first_transform.bias is not None
            return self.first_transform.bias.to(u.dtype).expand_as(u)  # T of zeros
        previous = self.memory.features[self.previous]
        t = self.transform(previous.flatten(0, 1).permute(0, 3, 1, 2))  # (B*D, h, gh, gw)
        return t.permute(0, 2, 3, 1).reshape(u.shape)


def _without_autocast(device: str) -> AbstractContextManager[object]:
    """Switch autocast off, where the kind of device has it (``meta`` has not)."""
    if torch.amp.is_autocast_available(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()
