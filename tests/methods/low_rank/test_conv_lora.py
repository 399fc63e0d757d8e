"""Conv-LoRA against its equation, image by image, and its balancing loss."""

import copy
import math

import pytest
import torch
from torch.nn import functional as F

import methods
from bench.models.contract import iter_losses
from bench.models.hooks import Hooks
from methods.executed import set_execution
from methods.execution import Execution
from methods.low_rank.conv_lora import ConvUpdate, unbalance


def updates_of(pair):
    return [module for module in pair.backbone.modules() if isinstance(module, ConvUpdate)]


def literal(image, update, expert):
    """Return the update of one image's tokens (h, w, E) by an expert, number 0 first."""
    z = (image @ update.lora_a.T).permute(2, 0, 1)[None]
    size, factor = z.shape[-2:], expert + 1
    y = z
    if factor > 1:
        y = F.interpolate(y, scale_factor=factor, mode="bicubic")
    conv = update.experts[expert]
    y = F.gelu(F.conv2d(y, conv.weight, conv.bias, padding=1))
    if factor > 1:
        y = F.interpolate(y, size=size, mode="bicubic")
    return ((z + y)[0].permute(1, 2, 0) @ update.lora_b.T) * 6 / 3


def adapted(update, layer, images):
    """Return the layer's output on images (n, h, w, E), each by the expert of its mean."""
    outputs = []
    for image in images:
        mean = (image @ update.lora_a.T).mean(dim=(0, 1))
        expert = int((mean @ update.gate).argmax())
        outputs.append(layer(image) + literal(image, update, expert))
    return torch.stack(outputs)


class Adapted(torch.nn.Module):
    """A layer on tokens (images, N, E) of a grid, with the literal update."""

    def __init__(self, update, layer, grid):
        super().__init__()
        self.update, self.layer, self.grid = update, layer, grid

    def forward(self, x):
        return adapted(self.update, self.layer, x.unflatten(1, self.grid)).flatten(1, 2)


def test_every_image_or_window_goes_through_the_expert_of_its_mean(pair):
    pair.apply(methods.build("conv_lora", {"alpha": 6.0, "n_experts": 3}))
    updates = updates_of(pair)
    pair.backbone.eval()
    own = [p for u in updates for p in (u.gate, u.noise)]
    for parameter in own:
        parameter.requires_grad_(False)  # the choice has no gradient
    is_swin = "swin" in pair.backbone.name
    blocks = [b for n, b in pair.reference.named_modules() if n.split(".")[-2:-1] == ["blocks"]]
    for update, block in zip(updates, blocks, strict=True):
        grid = tuple(block.window_size) if is_swin else (4, 6)
        block.attn.qkv = Adapted(update, block.attn.qkv, grid)
    pair.reference.eval()
    expected = pair.run(lambda _, block, x: block(x))
    for parameter in own:
        assert not parameter.requires_grad
    taps = pair.backbone(pair.slices, pair.batch, pair.depth)
    for ours, theirs in zip(taps, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)
    tuned = [u.lora_a for u in updates] + [u.lora_b for u in updates]
    for ours, theirs in zip(
        torch.autograd.grad(sum(x.square().sum() for x in taps), tuned),
        torch.autograd.grad(sum(x.square().sum() for x in expected), tuned),
        strict=True,
    ):
        assert theirs.abs().max() > 1e-4
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-8)


def test_experts_that_are_used_alike_have_no_loss():
    clean = torch.zeros(4, 4)
    noisy = torch.eye(4)
    deviation = torch.ones(4, 4)
    assert unbalance(clean, noisy, deviation).item() == pytest.approx(0, abs=1e-9)
    one_sided = torch.zeros(4, 4)
    one_sided[:, 0] = 1.0
    # importance 4, 0, 0, 0: variance 4 over a squared mean of 1; load: P(0 > 0) and P(0 > 1)
    for sigma in (1.0, 2.0):
        best, other = 0.5, 0.5 * math.erfc(1 / sigma / math.sqrt(2))
        load = torch.tensor([4 * best, 4 * other, 4 * other, 4 * other])
        expected = 4 + float(load.var() / load.mean() ** 2)
        found = unbalance(clean, one_sided, sigma * deviation).item()
        assert found == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_the_experts_joins_that_of_the_task_once(tuned, volume):
    model = tuned("tiny_vit", methods.build("conv_lora")).train()
    hooks = Hooks(model)
    assert len(hooks.with_loss) == 6
    torch.manual_seed(0)
    task = next(iter_losses(model, volume))
    total = hooks.add_losses(task)
    assert 1e-3 < total - task < 2
    assert torch.equal(hooks.add_losses(task), task)  # it is taken once
    model.eval()
    task = next(iter_losses(model, volume))
    assert torch.equal(hooks.add_losses(task), task)


def test_a_second_computing_for_the_backward_pass_leaves_no_loss(tuned, volume):
    model = tuned("tiny_vit", methods.build("conv_lora")).train()
    set_execution(model, Execution(checkpointing=True))
    hooks = Hooks(model)
    hooks.add_losses(next(iter_losses(model, volume))).backward()
    assert all(module.kept.values == [] for module in hooks.with_loss)
    copy.deepcopy(model)
