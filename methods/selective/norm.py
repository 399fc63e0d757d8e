"""Norm tuning: scales and shifts of the layer norms train, all else stays frozen.

Reference: Basu et al., Strong Baselines for Parameter-Efficient Few-Shot Fine-Tuning, AAAI 2024,
arXiv 2304.01917, section 4 (LN-TUNE).

    LN(x) = gamma * (x - mean) / std + beta,  gamma and beta train in every norm

Our choices: the norm behind the patch embedding and those between Swin's stages train as well.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.sites import HasSites, Role, locate_parameters

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm2d)


@dataclass(frozen=True)
class Norm(Method):
    """Train every norm."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="norm",
        title="Norm tuning",
        paper="Basu et al., Strong Baselines for Parameter-Efficient Few-Shot Fine-Tuning, "
        "AAAI 2024",
        url="https://arxiv.org/abs/2304.01917",
        roles=(Role.BLOCK,),
        identity_at_init=True,
        identity_note="nothing is inserted",
        tunes_backbone=True,
        family=Family.SELECTIVE,
        year=2024,
    )

    def inject(self, backbone: HasSites) -> None:
        surgery.thaw(list_norms(backbone, self.choose_blocks(backbone)))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 4 E a block and 2 E for the final norm, in a pyramid the others besides."""
        chosen = self.choose_blocks(backbone)
        return sum(parameter.numel() for parameter in list_norms(backbone, chosen))


def list_norms(backbone: HasSites, chosen: Collection[int]) -> list[nn.Parameter]:
    """Return the parameters of the norms in the blocks with these numbers.

    What is outside of blocks counts as `locate_parameters` says.
    """
    norms = [module for module in backbone.modules() if isinstance(module, NORMS)]
    own = {parameter for norm in norms for parameter in norm.parameters()}
    located = locate_parameters(backbone)
    return [each for _, each, index in located if each in own and index in chosen]
