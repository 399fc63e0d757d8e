"""Med-Adapter as its paper writes it against ours: equal numbers, and time forward and backward.

    python -m benchmarks.network.med_adapter [--depth 32 128] [--rounds 15] [--threads 2]

Twelve adapters in a row as in ViT-B/16, nothing between them. `literal_adapter` is written for
reading and takes its parameters from an adapter of ours. Exit code 1 if both differ by more than
1e-6 in float64. The ratio is printed, not judged: it depends on the machine.
"""

import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

import methods
from methods.base import apply
from methods.sites import Role, Site, TokenLayout, VolumeShape
from methods.volumetric.med_adapter import Adapter, DepthFourier, SeparableConv, StageLink

GRID, WIDTH, N_BLOCKS, LAST_IN_STAGE = 8, 768, 12, (2, 5, 8, 11)
TOLERANCE = 1e-6


def literal_adapter(
    x: torch.Tensor, adapter: Adapter, memory: torch.Tensor | None, shape: tuple[int, int, int, int]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return y = x + GELU(W_up (z + g)), and g for the next stage after the last block of one.

    The tokens are (B*D, N, E), ``memory`` is the g (B, h, D, gh, gw) of the previous stage if any.
    """
    batch, depth, height, width = shape
    z = F.gelu(F.linear(x, adapter.down.weight, adapter.down.bias))
    z = z.reshape(batch, depth, height, width, -1).permute(0, 4, 1, 2, 3)  # (B, h, D, gh, gw)
    small, large, spectral = adapter.branches
    sum_of_branches = separable(z, small, 3) + separable(z, large, 5) + fourier(z, spectral)
    g = conv1(sum_of_branches, adapter.merge)
    if adapter.link is not None:
        g = conv1(torch.cat([g, transform(memory, adapter.link, g)], dim=1), adapter.link.mix)
        memory = g
    y = (z + g).permute(0, 2, 3, 4, 1).reshape(*x.shape[:2], -1)
    return x + F.gelu(F.linear(y, adapter.up.weight, adapter.up.bias)), memory


def separable(z: torch.Tensor, branch: SeparableConv, kernel: int) -> torch.Tensor:
    """Return ReLU(BN(DW(k,1,1)(DW(1,k,k)(z))))."""
    half, groups = kernel // 2, z.shape[1]
    first, second, norm = branch.in_slice, branch.along_depth, branch.norm
    v = F.conv3d(z, first.weight[:, :, None], first.bias, padding=(0, half, half), groups=groups)
    v = F.conv3d(v, second.weight[..., None], second.bias, padding=(half, 0, 0), groups=groups)
    return torch.relu(F.batch_norm(v, None, None, norm.weight, norm.bias, training=True))


def fourier(z: torch.Tensor, branch: DepthFourier) -> torch.Tensor:
    """Return |IFFT3(w * FFT3(z) + b)|, with one w and one b for each depth frequency."""
    w, b = branch.weight[:, None, None], branch.bias[:, None, None]
    return torch.fft.ifftn(w * torch.fft.fftn(z, dim=(2, 3, 4)) + b, dim=(2, 3, 4)).abs()


def conv1(x: torch.Tensor, layer: nn.Linear | nn.Conv2d) -> torch.Tensor:
    """Return a 1x1x1 convolution of (B, C, D, gh, gw) with the weights of the layer."""
    return F.conv3d(x, layer.weight.reshape(*layer.weight.shape[:2], 1, 1, 1), layer.bias)


def transform(memory: torch.Tensor | None, link: StageLink, g: torch.Tensor) -> torch.Tensor:
    """Return T(g of the previous stage); the stage before the first one is zero."""
    layer = link.transform or link.first_transform
    if layer.weight.shape[-1] == 1:
        return conv1(torch.zeros_like(g) if memory is None else memory, layer)
    if memory is None:
        batch, channels, depth, height, width = g.shape
        memory = g.new_zeros(batch, channels // 2, depth, 2 * height, 2 * width)
    kernel = layer.weight[:, :, None]
    return F.conv3d(memory, kernel, layer.bias, stride=(1, 2, 2), padding=(0, 1, 1))


class Ours(nn.Module):
    """Our method in twelve blocks that do nothing, on one volume, with random w and b."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.name, self.patch_size, self.width, self.frozen_modules = "empty", 16, WIDTH, ()
        self.selection = None
        self.volume = VolumeShape(1, depth, GRID, GRID)
        self.blocks = nn.Sequential(*(nn.Identity() for _ in range(N_BLOCKS)))
        layout = TokenLayout(self.volume)
        self.sites = tuple(
            Site(Role.BLOCK, self.blocks, str(i), i, i // 3, WIDTH, i in LAST_IN_STAGE, layout)
            for i in range(N_BLOCKS)
        )
        torch.manual_seed(0)
        apply(methods.build("med_adapter"), self)
        for module in self.modules():
            if isinstance(module, DepthFourier):
                nn.init.normal_(module.weight, mean=1.0, std=0.3)
                nn.init.normal_(module.bias, mean=1.0, std=0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(x)

    def compute_literally(self, x: torch.Tensor) -> torch.Tensor:
        memory = None
        for block in self.blocks:
            x, memory = literal_adapter(x, block.adapter, memory, (1, len(x), GRID, GRID))
        return x


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, nargs="+", default=[32, 128], help="slices")
    parser.add_argument("--rounds", type=int, default=15, help="timed; the fastest counts")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    in_output, in_gradients = largest_differences(32)
    differences = f"{in_output:.1e} (output), {in_gradients:.1e} (gradients)"
    print(f"float64, depth 32: largest relative difference {differences}")
    threads = f"{arguments.threads} threads"
    print(f"forward and backward of twelve adapters, {threads}, fastest of {arguments.rounds}")
    for depth in arguments.depth:
        compare_times(depth, arguments.rounds)
    return int(max(in_output, in_gradients) > TOLERANCE)


def compare_times(depth: int, rounds: int) -> None:
    """Print the least times of both, which take turns: other work disturbs both alike."""
    model = Ours(depth)
    x = torch.randn(depth, GRID**2, WIDTH, requires_grad=True)
    difference = float((model.compute_literally(x) - model(x)).detach().abs().max())
    literal_ms, ours_ms = [], []
    for _ in range(rounds):
        literal_ms.append(time_ms(model, model.compute_literally, x))
        ours_ms.append(time_ms(model, model, x))
    literal, ours = min(literal_ms), min(ours_ms)
    times = f"{literal:.0f} ms literal, {ours:.0f} ms ours: {literal / ours:.2f}x"
    print(f"float32, depth {depth}: {times}; largest difference of the output {difference:.1e}")


def time_ms(model: nn.Module, forward: Callable[..., torch.Tensor], x: torch.Tensor) -> float:
    started = time.perf_counter()
    model.zero_grad(set_to_none=True)
    forward(x).square().mean().backward()
    return 1000 * (time.perf_counter() - started)


def largest_differences(depth: int) -> tuple[float, float]:
    """Return the differences of output and gradients, each relative to its largest value."""
    model = Ours(depth).double()
    x = torch.randn(depth, GRID**2, WIDTH, dtype=torch.float64, requires_grad=True)
    outputs, gradients = [], []
    for forward in (model, model.compute_literally):
        outputs.append(forward(x))
        loss = outputs[-1].square().mean()
        tensors = [x, *model.parameters()]
        gradients.append(torch.autograd.grad(loss, tensors, materialize_grads=True))
    in_gradients = []
    for ours, literal in zip(*gradients, strict=True):
        if literal.abs().max() > 1e-12:  # a bias before batch norm has none but rounding errors
            in_gradients.append(relative(ours, literal))
    assert len(in_gradients) > 0.9 * len(gradients[0])
    return relative(*outputs), max(in_gradients)


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found - expected).abs().max() / expected.abs().max()).item()


if __name__ == "__main__":
    sys.exit(main())
