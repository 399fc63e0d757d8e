"""The losses against the formulas of their sources, in float64, with gradients."""

import pytest
import torch
from monai.losses import DiceCELoss

from bench.run.training.loss import build_loss


def draw(classes=4, present=(0, 1, 3)):
    """Return logits and labels of two patches, in which only some classes are present."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, 3, 4, 5, dtype=torch.float64, generator=generator)
    index = torch.randint(len(present), (2, 1, 3, 4, 5), generator=generator)
    return logits.requires_grad_(), torch.tensor(present)[index]


def soft_dice_of_medtuning(logits, label):
    """Return the sum over the classes 1, 2, ... of one minus soft Dice over the whole batch."""
    probability = logits.softmax(dim=1)
    total = 0.0
    for index in range(1, logits.shape[1]):
        target = (label[:, 0] == index).double()
        output = probability[:, index]
        overlap = 2 * (output * target).sum()
        total = total + 1 - overlap / (output.sum() + target.sum() + 1e-5)
    return total


def test_dice_is_that_of_the_public_code_in_value_and_gradient():
    logits, label = draw()
    loss, expected = build_loss("dice")(logits, label), soft_dice_of_medtuning(logits, label)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    gradient, wanted = (torch.autograd.grad(each, logits)[0] for each in (loss, expected))
    torch.testing.assert_close(gradient, wanted, rtol=1e-10, atol=1e-14)
    assert gradient.abs().max() > 1e-4
    assert 1 < loss < 3  # a sum over three classes; the absent one adds 1


def test_patches_without_foreground_have_no_gradient_from_dice_alone():
    logits, label = draw(present=(0,))
    (gradient,) = torch.autograd.grad(build_loss("dice")(logits, label), logits)
    assert torch.equal(gradient, torch.zeros_like(gradient))
    (gradient,) = torch.autograd.grad(build_loss("dice_ce")(logits, label), logits)
    assert gradient.abs().max() > 1e-4


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dice_and_cross_entropy_are_those_of_monai_bit_for_bit(classes, dtype):
    present = range(classes)
    logits, label = draw(classes, present)
    logits = logits.detach().to(dtype).requires_grad_()
    monai = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False)
    losses = build_loss("dice_ce")(logits, label), monai(logits, label)
    assert torch.equal(*losses)
    assert torch.equal(*(torch.autograd.grad(each, logits)[0] for each in losses))
