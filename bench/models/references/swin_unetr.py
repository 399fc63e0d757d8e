"""Swin UNETR: a 3-D Swin transformer as the encoder of a convolutional decoder.

Reference: Hatamizadeh et al., Swin UNETR: Swin Transformers for Semantic Segmentation of Brain
Tumors in MRI Images, BrainLes 2021, arXiv 2201.01266.

The network is MONAI's: patches of 2x2x2 voxels, windows of 7x7x7, four stages of two blocks, 48
features as in the paper. It starts from random weights; its authors' self-supervised pre-training
is another paper's.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from bench.models.references.base import Reference, ReferenceInfo, Shape, Task
from methods.settings import Condition, setting

UNIT = 32  # five halvings
HEADS = 12  # heads of the four stages: 3, 6, 12, 24
FEATURES = Condition(f"a multiple of {HEADS}", lambda n: n >= HEADS and n % HEADS == 0)


@dataclass(frozen=True)
class SwinUnetr(Reference):
    """MONAI's Swin UNETR."""

    info: ClassVar[ReferenceInfo] = ReferenceInfo(
        name="net:swin_unetr",
        title="Swin UNETR",
        paper="Hatamizadeh et al., BrainLes 2021",
        url="https://arxiv.org/abs/2201.01266",
        packages=("einops",),
        size_rule=f"divisible by {UNIT}; one of them longer",
        undecayed=("relative_position_bias_table",),
    )

    features: int = setting(48, "channels of the first stage; they double", FEATURES)

    def find_unit(self, task: Task) -> Shape:
        if max(task.patch) <= UNIT:  # instance norm of a single voxel is not defined
            rule = f"data.patch must be longer than {UNIT} on one axis"
            got = "x".join(map(str, task.patch))
            raise ValueError(f"{self.info.name}: {rule}, got {got}")
        return UNIT, UNIT, UNIT

    def build(self, task: Task) -> nn.Module:
        from monai.networks.nets import SwinUNETR

        device = torch.get_default_device()
        with torch.device("cpu"):  # its constructor reads numbers, which the meta device has not
            network = SwinUNETR(task.in_channels, task.n_classes, feature_size=self.features)
        return network.to(device)
