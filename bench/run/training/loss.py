"""The losses of the protocol."""

from monai.losses import DiceCELoss, DiceLoss
from torch import nn

from bench.specs.protocol import DICE, DICE_CE

MEDTUNING_EPS = 1e-5


def build_loss(name: str = DICE_CE) -> nn.Module:
    """Return a loss of logits (B, K, D, H, W) and labels (B, 1, D, H, W); background is class 0.

    ``dice_ce``: the equal sum of soft Dice, averaged over patches and foreground classes, and of
    cross-entropy over all classes (nnU-Net, Isensee et al., Nature Methods 2021).
    ``dice``: as in Med-Tuning's code (Shen et al., MIDL 2024), the sum over the foreground classes
    of 1 - 2 |p t| / (|p| + |t| + 1e-5), p by softmax, each sum over all patches of the batch. A
    class that is absent from the batch has no gradient.
    """
    if name == DICE:
        return DiceLoss(
            include_background=False,
            to_onehot_y=True,
            softmax=True,
            batch=True,
            smooth_nr=0.0,
            smooth_dr=MEDTUNING_EPS,
            reduction="sum",
        )
    return DiceCELoss(to_onehot_y=True, softmax=True, include_background=False)
