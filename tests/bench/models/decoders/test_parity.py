"""Decoders against their formulas, written anew: float64, forward and gradient."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.models.swin_transformer import SwinTransformer
from torch.nn import functional as F

from bench.models.backbones.swin import SwinBackbone
from bench.models.decoders.light import LightDecoder
from bench.models.decoders.swin_unet import build_swin_unet, build_swin_unet_medtuning
from bench.models.decoders.upernet import build_upernet, build_upernet_medtuning
from bench.models.segmenter import Segmenter
from bench.models.weights.load import timm_name

SIZE = (32, 64)


class Maps:
    """What a decoder wants to know of a backbone."""

    def __init__(self, channels, strides):
        self.tap_channels = channels
        self.tap_strides = strides

    def draw(self):
        torch.manual_seed(1)
        shapes = [
            (2, channels, SIZE[0] // stride, SIZE[1] // stride)
            for channels, stride in zip(self.tap_channels, self.tap_strides, strict=True)
        ]
        return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


PLAIN, PYRAMID = Maps((16,) * 4, (8,) * 4), Maps((8, 12, 16, 20), (4, 8, 16, 32))
by_maps = pytest.mark.parametrize("maps", [PLAIN, PYRAMID], ids=["plain", "pyramid"])


def randomise(module):
    """Give every tensor random values of a sensible size; variances stay positive."""
    module.double().eval()
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif name.endswith(("weight", "bias", "running_mean", "bias_table")):
                tensor.normal_(std=0.3)
    return module


def assert_equal(ours, theirs, leaves):
    """Compare two outputs to 1e-12, and their gradients with respect to all leaves."""
    scale = float(theirs.detach().abs().max())
    assert scale > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12 * scale)
    weights = torch.randn_like(theirs)
    pairs = [torch.autograd.grad((y * weights).sum(), leaves) for y in (ours, theirs)]
    for own, expected in zip(*pairs, strict=True):
        assert expected.any()
        torch.testing.assert_close(
            own, expected, rtol=0, atol=1e-12 * max(1.0, float(expected.abs().max()))
        )


def weights_of_line(n_in, n_out, corners):
    """Return the matrix (n_out, n_in) of linear interpolation along one axis."""
    matrix = torch.zeros(n_out, n_in, dtype=torch.float64)
    for target in range(n_out):
        if corners:
            place = target * (n_in - 1) / max(n_out - 1, 1)
        else:
            place = min(max((target + 0.5) * n_in / n_out - 0.5, 0.0), n_in - 1.0)
        below = min(int(place), n_in - 1)
        above = min(below + 1, n_in - 1)
        matrix[target, below] += 1 - (place - below)
        matrix[target, above] += place - below
    return matrix


def resize(x, size, corners):
    down = weights_of_line(x.shape[2], size[0], corners)
    right = weights_of_line(x.shape[3], size[1], corners)
    return torch.einsum("yh,bchw,xw->bcyx", down, x, right)


def convolve(x, conv):
    bias = conv.bias if conv.bias is not None else torch.zeros(len(conv.weight)).double()
    half = conv.weight.shape[-1] // 2
    patches = F.unfold(x, conv.weight.shape[-2:], padding=half)  # (B, C*k*k, h*w)
    y = conv.weight.flatten(1) @ patches + bias[:, None]
    return y.reshape(len(x), -1, *x.shape[2:])


def normalise_batch(x, norm):
    shape = (1, -1, 1, 1)
    x = (x - norm.running_mean.view(shape)) / (norm.running_var.view(shape) + norm.eps).sqrt()
    return x * norm.weight.view(shape) + norm.bias.view(shape)


def literal_upernet(decoder, maps, *, accumulated, corners):
    """Return the logits of the slices."""

    def convolve_and_norm(x, layers):
        return normalise_batch(convolve(x, layers[0]), layers[1]).relu()

    top = maps[3]
    parts = [top]
    for part, bins in zip(decoder.pooling.parts, (1, 2, 4, 6), strict=True):
        means = F.adaptive_avg_pool2d(top, bins)
        parts.append(resize(convolve_and_norm(means, part[1]), top.shape[2:], corners))
    pooled = convolve_and_norm(torch.cat(parts, dim=1), decoder.pooling.bottleneck)

    lateral1 = F.gelu(normalise_batch(convolve(maps[0], decoder.fpn[0]), decoder.fpn[1]))
    lateral2 = convolve(maps[1], decoder.lateral[0])
    lateral3 = convolve(maps[2], decoder.lateral[1])
    lateral4 = convolve(pooled, decoder.lateral[2])
    sum3 = lateral3 + resize(lateral4, lateral3.shape[2:], corners)
    from3 = sum3 if accumulated else lateral3
    sum2 = lateral2 + resize(from3, lateral2.shape[2:], corners)
    from2 = sum2 if accumulated else lateral2
    sum1 = lateral1 + resize(from2, lateral1.shape[2:], corners)
    levels = [convolve(level, decoder.smooth) for level in (sum1, sum2, sum3)] + [lateral4]
    levels = [resize(level, lateral1.shape[2:], corners) for level in levels]
    fused = convolve_and_norm(torch.cat(levels, dim=1), decoder.fuse)
    return resize(convolve(fused, decoder.head), SIZE, corners=False)


@by_maps
@pytest.mark.parametrize(
    ("build", "formula"),
    [
        (build_upernet, {"accumulated": True, "corners": False}),
        (build_upernet_medtuning, {"accumulated": False, "corners": True}),
    ],
    ids=["upernet", "upernet_medtuning"],
)
def test_upernet_equals_its_formula(build, formula, maps):
    torch.manual_seed(0)
    decoder, inputs = randomise(build(maps, n_classes=3)), maps.draw()
    expected = literal_upernet(decoder, inputs, **formula)
    assert_equal(decoder(inputs, SIZE), expected, [*inputs, *decoder.parameters()])
    other = {name: not value for name, value in formula.items()}
    difference = literal_upernet(decoder, inputs, **other) - expected
    assert difference.abs().max() > 0.01 * expected.abs().max()  # the variants do differ


@by_maps
def test_the_light_decoder_equals_its_formula(maps):
    torch.manual_seed(0)
    decoder = randomise(LightDecoder(maps.tap_channels, maps.tap_strides, n_classes=3))
    inputs = maps.draw()

    def normalise_groups(x, norm):
        groups = x.reshape(len(x), norm.num_groups, -1)
        groups = groups - groups.mean(dim=2, keepdim=True)
        groups = groups / (groups.square().mean(dim=2, keepdim=True) + norm.eps).sqrt()
        return groups.reshape(x.shape) * norm.weight[:, None, None] + norm.bias[:, None, None]

    def rescale(x, layers):
        x = normalise_groups(convolve(x, layers[0]), layers[1])
        for layer in layers[2:]:
            if isinstance(layer, torch.nn.MaxPool2d):
                x = F.max_pool2d(x, 2, ceil_mode=True)
            elif isinstance(layer, torch.nn.GELU):
                x = F.gelu(x)
            else:
                spread = torch.einsum("bchw,cdyx->bdhywx", x, layer.weight)
                x = spread.flatten(4, 5).flatten(2, 3) + layer.bias[:, None, None]
        return x

    levels = [rescale(x, layers) for x, layers in zip(inputs, decoder.rescale, strict=True)]
    y = levels[3]
    for number in (2, 1, 0):
        larger = y.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        fuse = decoder.fuse[number]
        y = F.gelu(normalise_groups(convolve(levels[number] + larger, fuse[0]), fuse[1]))
    expected = resize(convolve(y, decoder.head), SIZE, corners=False)
    assert_equal(decoder(inputs, SIZE), expected, [*inputs, *decoder.parameters()])


def normalise_layer(x, norm):
    x = x - x.mean(dim=-1, keepdim=True)
    return x / (x.square().mean(dim=-1, keepdim=True) + norm.eps).sqrt() * norm.weight + norm.bias


def expand(x, expansion, factor):
    """Return (B, h * factor, w * factor, outputs), cell by cell."""
    rows, columns = x.shape[1:3]
    y = x @ expansion.expand.weight.T
    width = y.shape[-1] // factor**2
    large = x.new_zeros(len(x), rows * factor, columns * factor, width)
    for down in range(factor):
        for right in range(factor):
            part = (down * factor + right) * width
            large[:, down::factor, right::factor] = y[..., part : part + width]
    return normalise_layer(large, expansion.norm)


def literal_swin_unet(swin, decoder, slices, *, entering):
    """Return the logits (B*D, K, H, W) of timm's encoder and the decoder's formula."""
    x, skips = swin.patch_embed(slices), []  # (B*D, h, w, E)
    for layer in swin.layers:
        x = layer.downsample(x)
        start = x
        for block in layer.blocks:
            x = block(x)
        skips.append(start if entering else x)
    y = normalise_layer(x, swin.norm)
    for number, stage in zip((2, 1, 0), decoder.stages, strict=True):
        both = torch.cat([expand(y, stage.expansion, 2), skips[number]], dim=-1)
        y = both @ stage.mix.weight.T + stage.mix.bias
        for own, theirs in zip(stage.blocks, swin.layers[number].blocks, strict=False):
            tensors = {timm_name(f".{name}")[1:]: value for name, value in own.named_parameters()}
            y = torch.func.functional_call(theirs, tensors, (y,))
    y = expand(normalise_layer(y, decoder.norm), decoder.head.expansion, 4)
    return (y @ decoder.head.output.weight.T).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("build", "entering"),
    [(build_swin_unet, False), (build_swin_unet_medtuning, True)],
    ids=["swin_unet", "swin_unet_medtuning"],
)
def test_swin_unet_equals_its_formula(build, entering):
    torch.manual_seed(0)
    swin = SwinTransformer(
        img_size=(64, 32), in_chans=2, num_classes=0, embed_dim=8, depths=(2, 2, 2, 2),
        num_heads=(1, 2, 2, 4), window_size=(4, 2), drop_path_rate=0.0,
    )  # fmt: skip
    randomise(swin)
    backbone = SwinBackbone("swin", copy.deepcopy(swin)).eval()
    model = Segmenter(backbone, randomise(build(backbone, n_classes=3)))
    volume = torch.randn(2, 2, 3, 64, 32, dtype=torch.float64, requires_grad=True)
    slices = volume.transpose(1, 2).flatten(0, 1)
    state = {name: value for name, value in model.backbone.named_parameters()}
    swin.requires_grad_(False)
    encoder = {name: state[own] for own in state for name in [timm_name(own)]}

    def run(network, *inputs):
        return literal_swin_unet(network, model.decoder, *inputs, entering=entering)

    logits = torch.func.functional_call(Literal(swin, run), encoder_of(encoder), (slices,))
    expected = logits.reshape(2, 3, 3, 64, 32).transpose(1, 2)
    assert_equal(model(volume), expected, [volume, *model.parameters()])


class Literal(torch.nn.Module):
    """A function of a network, as a module whose tensors can be given."""

    def __init__(self, network, function):
        super().__init__()
        self.network = network
        self.function = function

    def forward(self, slices):
        return self.function(self.network, slices)


def encoder_of(tensors):
    return {f"network.{name}": tensor for name, tensor in tensors.items()}
