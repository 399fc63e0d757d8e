"""Visual prompt tuning on Swin, window by window, with the attention written out."""

import pytest
import torch
from torch.nn import functional as F

import methods

N_PROMPTS = 3


def attend(tokens, attn, bias, mask):
    """Return one window's attention: (P+area, E); bias (heads, area, area), mask (area, area)."""
    n_tokens, width = tokens.shape
    q, k, v = (
        F.linear(tokens, attn.qkv.weight, attn.qkv.bias)
        .reshape(n_tokens, 3, attn.num_heads, -1)
        .unbind(1)
    )
    outputs = []
    for head in range(attn.num_heads):
        scores = q[:, head] @ k[:, head].T / (width // attn.num_heads) ** 0.5
        added = torch.zeros_like(scores)
        added[N_PROMPTS:, N_PROMPTS:] = bias[head] + mask
        outputs.append((scores + added).softmax(dim=1) @ v[:, head])
    return F.linear(torch.cat(outputs, dim=1), attn.proj.weight, attn.proj.bias)


def windowed(prompts, patches, block):
    """Return prompts (P, E) and patches (h, w, E) of one slice after the attention of a block."""
    (rows, columns), shift, (height, width, _) = block.window_size, block.shift_size, patches.shape
    bias = block.attn.relative_position_bias_table[
        block.attn.relative_position_index
    ]  # (area, area, heads)
    rolled = torch.roll(patches, (-shift[0], -shift[1]), dims=(0, 1))
    result, seen, number = torch.zeros_like(rolled), [], 0
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            place = (slice(top, top + rows), slice(left, left + columns))
            window = rolled[place].reshape(rows * columns, -1)
            mask = 0 if block.attn_mask is None else block.attn_mask[number]
            y = attend(torch.cat([prompts, window]), block.attn, bias.permute(2, 0, 1), mask)
            seen.append(y[:N_PROMPTS])
            result[place] = y[N_PROMPTS:].reshape(rows, columns, -1)
            number += 1
    return torch.stack(seen).mean(dim=0), torch.roll(result, shift, dims=(0, 1))


def prompted_block(prompts, patches, block):
    """Return prompts (M, P, E) and patches (M, h, w, E) after a block; every slice for itself."""
    pairs = [
        windowed(block.norm1(own), block.norm1(image), block)
        for own, image in zip(prompts, patches, strict=True)
    ]
    prompts = prompts + torch.stack([pair[0] for pair in pairs])
    patches = patches + torch.stack([pair[1] for pair in pairs])
    return prompts + block.mlp(block.norm2(prompts)), patches + block.mlp(block.norm2(patches))


def merge(prompts, stage):
    """Return the prompts of the next stage: each is its own four neighbours."""
    if isinstance(stage.downsample, torch.nn.Identity):
        return prompts
    return stage.downsample.reduction(stage.downsample.norm(torch.cat([prompts] * 4, dim=-1)))


@pytest.mark.parametrize("name", ["vpt_shallow", "vpt_deep"])
def test_prompts_take_part_in_every_window(name, swin_pair):
    swin_pair.apply(methods.build(name, {"n_prompts": N_PROMPTS}))
    tensors = swin_pair.tuned()
    assert [tensor.shape[-1] for tensor in tensors] == (
        [12] if name == "vpt_shallow" else [12, 12, 24, 24, 48, 96, 96]
    )
    stages = {id(stage.blocks[0]): stage for stage in swin_pair.reference.layers}
    prompts = tensors[0].expand(10, -1, -1)

    def step(index, block, x):
        nonlocal prompts
        if name == "vpt_deep":
            prompts = tensors[index].expand(10, -1, -1)
        elif id(block) in stages:
            prompts = merge(prompts, stages[id(block)])
        prompts, x = prompted_block(prompts, x, block)
        return x

    swin_pair.assert_equal(swin_pair.run(step))


@pytest.mark.parametrize("name", ["vpt_shallow", "vpt_deep"])
def test_a_slice_gives_the_same_alone_and_in_a_batch(name, swin_pair):
    swin_pair.apply(methods.build(name, {"n_prompts": N_PROMPTS}))
    with torch.no_grad():
        together = swin_pair.backbone(swin_pair.slices, 2, 5)
        for index in range(10):
            alone = swin_pair.backbone(swin_pair.slices[[index]], 1, 1)
            for tap, own in zip(together, alone, strict=True):
                torch.testing.assert_close(tap[[index]], own, rtol=1e-10, atol=1e-12)
