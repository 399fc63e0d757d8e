"""The losses of the protocol."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from bench.specs.protocol import DICE, DICE_CE

MEDTUNING_EPS = 1e-5
EPS = 1e-5

Total = Callable[[torch.Tensor], torch.Tensor]  # from a device's part of a batch to all of it


def _keep(part: torch.Tensor) -> torch.Tensor:
    return part


class SoftDice(nn.Module):
    """One minus soft Dice of the foreground classes, p by softmax and t the label's classes.

        1 - (2 |p t| + smooth) / (|p| + |t| + eps)

    The classes of the label stay bits: no copy of it in the logits' precision is kept for the
    backward pass. Sums over the batch are those of all devices that share it, by ``total``.
    """

    def __init__(
        self, *, over_batch: bool, smooth: float, eps: float, total: Total = _keep
    ) -> None:
        super().__init__()
        self.total = total if over_batch else _keep
        self.dims = (0, 2, 3, 4) if over_batch else (2, 3, 4)  # summed over
        self.smooth = smooth
        self.eps = eps

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Return a value for each foreground class (K - 1), or for each patch and class."""
        n_classes = logits.shape[1]
        probability = logits.softmax(dim=1)[:, 1:]
        classes = torch.arange(1, n_classes, device=label.device).view(1, -1, 1, 1, 1)
        target = label == classes
        overlap = self.total((probability * target).sum(self.dims))
        false_positive = self.total(probability.sum(self.dims)) - overlap
        false_negative = self.total(target.sum(self.dims, dtype=overlap.dtype)) - overlap
        both = 2 * (overlap + 0.5 * false_positive + 0.5 * false_negative)
        return 1 - (2 * overlap + self.smooth) / (both + self.eps)


class DiceLoss(nn.Module):
    """Soft Dice as in Med-Tuning's code (Shen et al., MIDL 2024).

    The sum over the foreground classes, each over all patches of the batch. A class that is absent
    from the batch has no gradient.
    """

    def __init__(self, total: Total = _keep) -> None:
        super().__init__()
        self.dice = SoftDice(over_batch=True, smooth=0.0, eps=MEDTUNING_EPS, total=total)

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return self.dice(logits, label).sum()


class DiceCrossEntropy(nn.Module):
    """The equal sum of soft Dice and cross-entropy (nnU-Net, Isensee et al., Nature Methods 2021).

    Dice is averaged over patches and foreground classes, cross-entropy is that of all classes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dice = SoftDice(over_batch=False, smooth=EPS, eps=EPS)

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return self.dice(logits, label).mean() + F.cross_entropy(logits, label[:, 0])


def build_loss(name: str = DICE_CE, total: Total = _keep) -> nn.Module:
    """Return a loss of logits (B, K, D, H, W) and labels (B, 1, D, H, W); background is class 0.

    ``total`` returns the sum over the devices that share a batch. The mean of the loss over these
    is the loss of the whole batch.
    """
    return DiceLoss(total) if name == DICE else DiceCrossEntropy()
