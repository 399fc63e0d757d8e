"""nnU-Net's networks: the plain U-Net and the one with a residual encoder.

Reference: Isensee et al., nnU-Net: a self-configuring method for deep learning-based biomedical
image segmentation, Nature Methods 18:203-211, 2021; the residual encoder: Isensee et al., nnU-Net
Revisited: A Call for Rigorous Validation in 3D Medical Image Segmentation, MICCAI 2024.

The layers are those of the authors' package dynamic-network-architectures, their number, strides
and kernels those of nnU-Net's planner for the protocol's patch: features double from 32 to at most
320, instance norm, leaky ReLU, He's initialisation. A patch of 128x128x128 gives six stages, the
network that nnU-Net plans for BraTS.

Our choices: it is trained by the protocol's loop, so there is no deep supervision (the heads for it
are left out: nothing would train them), and optimiser, augmentation, patch and batch are the
protocol's instead of nnU-Net's. The planner goes by data.spacing_mm; where the protocol
does not resample, the spacing counts as equal on all axes. The planner's index of a thick axis,
which is wrong once a short axis is excluded, is read as it is meant.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from bench.models.references.base import Reference, ReferenceInfo, Shape, Task
from bench.models.references.topology import Topology, plan_topology
from methods.settings import at_least, setting

PACKAGE = "dynamic_network_architectures"
RULE = "divisible by 2 for each halving of the axis; long enough to be halved once"
BLOCKS = (1, 3, 4, 6, 6, 6)  # of the residual encoder's stages, further ones as the last


@dataclass(frozen=True)
class NnUnet(Reference):
    """nnU-Net's plain U-Net: two convolutions a stage on both sides."""

    info: ClassVar[ReferenceInfo] = ReferenceInfo(
        name="net:nnunet",
        title="nnU-Net",
        paper="Isensee et al., Nature Methods 2021",
        url="https://doi.org/10.1038/s41592-020-01008-z",
        packages=(PACKAGE,),
        size_rule=RULE,
    )

    features: int = setting(32, "channels of the first stage; they double", at_least(1))
    max_features: int = setting(320, "most channels of a stage", at_least(1))

    def find_unit(self, task: Task) -> Shape:
        return self._plan(task).unit

    def build(self, task: Task) -> nn.Module:
        from dynamic_network_architectures.architectures.unet import PlainConvUNet

        options = self._choose_options(task)
        n_stages = options["n_stages"]
        sizes = {"n_conv_per_stage": 2, "n_conv_per_stage_decoder": 2}
        assert n_stages > 1
        return _initialise(PlainConvUNet(**options, **sizes))

    def _plan(self, task: Task) -> Topology:
        plan = plan_topology(task.patch, task.spacing_mm or (1.0, 1.0, 1.0))
        if len(plan.strides) < 2:
            rule = (
                "data.patch must be long enough to be halved (two axes of 8 voxels, or one of 12)"
            )
            got = "x".join(map(str, task.patch))
            raise ValueError(f"{self.info.name}: {rule}, got {got}")
        return plan

    def _choose_options(self, task: Task) -> dict[str, Any]:
        """Return what both networks of nnU-Net are built with."""
        plan = self._plan(task)
        n_stages = len(plan.strides)
        return {
            "input_channels": task.in_channels,
            "num_classes": task.n_classes,
            "n_stages": n_stages,
            "features_per_stage": [
                min(self.max_features, self.features * 2**stage) for stage in range(n_stages)
            ],
            "strides": plan.strides,
            "kernel_sizes": plan.kernels,
            "conv_op": nn.Conv3d,
            "conv_bias": True,
            "norm_op": nn.InstanceNorm3d,
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": nn.LeakyReLU,
            "nonlin_kwargs": {"inplace": True},
            "deep_supervision": False,
        }


@dataclass(frozen=True)
class NnUnetResEnc(NnUnet):
    """nnU-Net's U-Net with a residual encoder, one convolution a stage in its decoder."""

    info: ClassVar[ReferenceInfo] = ReferenceInfo(
        name="net:nnunet_resenc",
        title="nnU-Net ResEnc",
        paper="Isensee et al., MICCAI 2024",
        url="https://arxiv.org/abs/2404.09556",
        packages=(PACKAGE,),
        size_rule=RULE,
    )

    def build(self, task: Task) -> nn.Module:
        from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

        options = self._choose_options(task)
        n_stages = options["n_stages"]
        blocks = [BLOCKS[min(stage, len(BLOCKS) - 1)] for stage in range(n_stages)]
        sizes = {"n_blocks_per_stage": blocks, "n_conv_per_stage_decoder": 1}
        return _initialise(ResidualEncoderUNet(**options, **sizes))


def _initialise(network: Any) -> nn.Module:
    """Return the network with its authors' first weights, without the heads that nothing reads."""
    network.apply(network.initialize)
    network.decoder.seg_layers = network.decoder.seg_layers[-1:]
    return network
