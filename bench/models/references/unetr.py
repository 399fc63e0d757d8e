"""UNETR: a 3-D vision transformer as the encoder of a convolutional decoder.

Reference: Hatamizadeh et al., UNETR: Transformers for 3D Medical Image Segmentation, WACV 2022.

The network is MONAI's: patches of 16x16x16 voxels, twelve blocks of width 768 with twelve heads, a
decoder with 16 features at full resolution.

Our choices: the norms that MONAI's blocks keep for cross-attention, which this network has none of,
are left out: nothing would train them.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bench.models.references.base import Reference, ReferenceInfo, Shape, Task
from methods.settings import SpecError, at_least, setting

PATCH = 16  # of a token, in voxels


@dataclass(frozen=True)
class Unetr(Reference):
    """MONAI's UNETR."""

    info: ClassVar[ReferenceInfo] = ReferenceInfo(
        name="net:unetr",
        title="UNETR",
        paper="Hatamizadeh et al., WACV 2022",
        url="https://arxiv.org/abs/2103.10504",
        packages=("einops",),
        size_rule=f"divisible by {PATCH}",
        undecayed=("position_embeddings",),
    )

    features: int = setting(16, "channels of the decoder at full resolution", at_least(1))
    hidden: int = setting(768, "width of the transformer", at_least(1))
    mlp: int = setting(3072, "width of its MLPs", at_least(1))
    heads: int = setting(12, "attention heads", at_least(1))

    def __post_init__(self) -> None:
        """Raises: SpecError naming the field."""
        super().__post_init__()
        if self.hidden % self.heads:
            rule = f"hidden must be divisible by heads ({self.heads}), got {self.hidden}"
            raise SpecError(f"{self.info.name}: {rule}")

    def find_unit(self, task: Task) -> Shape:
        return PATCH, PATCH, PATCH

    def build(self, task: Task) -> nn.Module:
        from monai.networks.nets import UNETR

        network = UNETR(
            in_channels=task.in_channels,
            out_channels=task.n_classes,
            img_size=task.patch,
            feature_size=self.features,
            hidden_size=self.hidden,
            mlp_dim=self.mlp,
            num_heads=self.heads,
        )
        for block in network.vit.blocks:
            block.norm_cross_attn = nn.Identity()
        return network
