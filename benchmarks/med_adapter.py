"""Med-Adapter as its paper writes it against ours: equal numbers, and the time of forward and backward.

    python -m benchmarks.med_adapter [--depth 32 128] [--rounds 15] [--threads 2]

Twelve adapters in a row as in ViT-B/16 (width 768, hidden width 128, 8x8 tokens a slice, four of
them with the inter-stage interaction), nothing between them. The literal adapter below is written
for reading: 3-D convolutions and three-dimensional Fourier transforms on volumes (B, h, D, gh, gw).

Exit code: 0 if both agree to 1e-6 in float64, 1 if not. The ratio is printed, not judged: it
depends on the machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

import methods
from methods.base import apply
from methods.sites import Role, Site, TokenLayout, VolumeShape

BATCH, GRID, WIDTH, HIDDEN, N_BLOCKS, LAST_IN_STAGE = 1, 8, 768, 128, 12, (2, 5, 8, 11)
TOLERANCE = 1e-6


class LiteralAdapter(nn.Module):
    """y = x + GELU(W_up (z + g)), with every operator as in the paper; ``linked`` in the last block of a stage."""

    def __init__(self, depth: int, *, linked: bool) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.conv3, self.conv5 = separable_conv(3), separable_conv(5)
        self.fourier = LiteralFourier(depth)
        self.merge = nn.Conv3d(HIDDEN, HIDDEN, 1)
        self.transform = nn.Conv3d(HIDDEN, HIDDEN, 1) if linked else None
        self.mix = nn.Conv3d(2 * HIDDEN, HIDDEN, 1) if linked else None

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map tokens (B*D, N, E) and the previous stage's features (B, h, D, gh, gw) to new ones of both."""
        z = F.gelu(self.down(x))
        z = z.reshape(BATCH, -1, GRID, GRID, HIDDEN).permute(0, 4, 1, 2, 3)  # (B, h, D, gh, gw)
        g = self.merge(self.conv3(z) + self.conv5(z) + self.fourier(z))
        if self.transform is not None and self.mix is not None:
            memory = g = self.mix(torch.cat([g, self.transform(memory)], dim=1))
        y = (z + g).permute(0, 2, 3, 4, 1).reshape(*x.shape[:2], HIDDEN)
        return x + F.gelu(self.up(y)), memory


class LiteralFourier(nn.Module):
    """|IFFT3(w * FFT3(z) + b)|, with one w and one b for each depth frequency."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.ones(depth)), nn.Parameter(torch.ones(depth))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        w, b = self.w[:, None, None], self.b[:, None, None]
        return torch.fft.ifftn(w * torch.fft.fftn(z, dim=(2, 3, 4)) + b, dim=(2, 3, 4)).abs()


def separable_conv(kernel: int) -> nn.Sequential:
    half = kernel // 2
    return nn.Sequential(
        nn.Conv3d(HIDDEN, HIDDEN, (1, kernel, kernel), padding=(0, half, half), groups=HIDDEN),
        nn.Conv3d(HIDDEN, HIDDEN, (kernel, 1, 1), padding=(half, 0, 0), groups=HIDDEN),
        nn.BatchNorm3d(HIDDEN),
        nn.ReLU(),
    )


class Literal(nn.Module):
    """The twelve adapters of the paper."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(
            LiteralAdapter(depth, linked=i in LAST_IN_STAGE) for i in range(N_BLOCKS)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        memory = x.new_zeros(BATCH, HIDDEN, len(x) // BATCH, GRID, GRID)
        for adapter in self.adapters:
            x, memory = adapter(x, memory)
        return x


class Ours(nn.Module):
    """Our method, put into twelve blocks that do nothing."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.name, self.patch_size, self.width, self.frozen_modules = "empty", 16, WIDTH, ()
        self.volume = VolumeShape(BATCH, depth, GRID, GRID)
        self.blocks = nn.ModuleList(nn.Identity() for _ in range(N_BLOCKS))
        layout = TokenLayout(self.volume)
        self.sites = tuple(
            Site(Role.BLOCK, self.blocks, str(i), i, i // 3, WIDTH, i in LAST_IN_STAGE, layout)
            for i in range(N_BLOCKS)
        )
        apply(methods.build("med_adapter", {}), self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def build_pair(depth: int) -> tuple[Literal, Ours]:
    """Return both with the same random parameters; frequency weights are not even."""
    torch.manual_seed(0)
    literal, ours = Literal(depth), Ours(depth)
    for name, parameter in literal.named_parameters():
        if name.endswith((".w", ".b")):
            nn.init.normal_(parameter, mean=1.0, std=0.3)
    with torch.no_grad():  # both declare their parameters in the same order
        for mine, theirs in zip(ours.parameters(), literal.parameters(), strict=True):
            mine.copy_(theirs.reshape(mine.shape))
    return literal, ours


def run(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    model.zero_grad(set_to_none=True)
    y: torch.Tensor = model(x)
    y.square().mean().backward()
    return y


def largest_differences(depth: int) -> tuple[float, float]:
    """Return the largest difference of outputs and of gradients, relative to the largest value of each tensor."""
    literal, ours = (model.double() for model in build_pair(depth))
    x = torch.randn(BATCH * depth, GRID**2, WIDTH, dtype=torch.float64, requires_grad=True)
    outputs, gradients = [], []
    for model in (literal, ours):
        x.grad = None
        outputs.append(run(model, x).detach())
        gradients.append([x.grad, *(parameter.grad for parameter in model.parameters())])
    pairs = [
        (one.reshape(other.shape), other)
        for one, other in zip(*gradients, strict=True)
        if one is not None
        and other is not None
        and other.abs().max() > 1e-12  # T of the first stage sees zeros
    ]
    assert len(pairs) > 0.9 * len(gradients[0])
    return relative(*outputs), max(relative(one, other) for one, other in pairs)


def relative(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


def time_ms(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the least time of each job; the jobs take turns, so that a busy machine disturbs all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            started = time.perf_counter()
            job()
            times[name].append(time.perf_counter() - started)
    return {name: 1000 * min(values) for name, values in times.items()}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--depth", type=int, nargs="+", default=[32, 128], help="slices of the patch"
    )
    parser.add_argument(
        "--rounds", type=int, default=15, help="how often each is timed; the fastest counts"
    )
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    in_output, in_gradients = largest_differences(32)
    print(
        f"float64, depth 32: largest relative difference {in_output:.1e} (output), {in_gradients:.1e} (gradients)"
    )
    print(
        f"forward and backward of twelve adapters, {arguments.threads} threads, fastest of {arguments.rounds}"
    )
    for depth in arguments.depth:
        literal, ours = build_pair(depth)
        x = torch.randn(BATCH * depth, GRID**2, WIDTH, requires_grad=True)
        difference = float((literal(x) - ours(x)).detach().abs().max())
        jobs = {"literal": lambda m=literal, x=x: run(m, x), "ours": lambda m=ours, x=x: run(m, x)}
        times = time_ms(jobs, arguments.rounds)
        print(
            f"float32, depth {depth}: {times['literal']:.0f} ms literal, {times['ours']:.0f} ms ours: "
            f"{times['literal'] / times['ours']:.2f}x; largest difference of the output {difference:.1e}"
        )
    return int(max(in_output, in_gradients) > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
