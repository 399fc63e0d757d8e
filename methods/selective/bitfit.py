"""BitFit: the biases train, all weights stay frozen.

Reference: Ben-Zaken et al., BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based
Masked Language-models, ACL 2022, arXiv 2106.10199, section 3.

    y = W x + b,  b trains, in every linear layer, convolution and norm

Our choices: the position biases of Swin's windows, which code that looks for "bias" in names trains
as well, stay frozen; ``position_bias`` trains them. Modules stay in evaluation mode.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.settings import setting
from methods.sites import HasSites, Role, locate_parameters

POSITION_BIAS = "relative_position_bias_table"


@dataclass(frozen=True)
class BitFit(Method):
    """Train every bias."""

    position_bias: bool = setting(False, "train the position biases of windows, too")

    info: ClassVar[MethodInfo] = MethodInfo(
        name="bitfit",
        title="BitFit",
        paper="Ben-Zaken et al., BitFit: Simple Parameter-efficient Fine-tuning for "
        "Transformer-based Masked Language-models, ACL 2022",
        url="https://arxiv.org/abs/2106.10199",
        roles=(Role.BLOCK,),
        identity_at_init=True,
        identity_note="nothing is inserted",
        tunes_backbone=True,
        family=Family.SELECTIVE,
        year=2022,
    )

    def inject(self, backbone: HasSites) -> None:
        surgery.thaw(self._list_tuned(backbone))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return all biases: 11 E in a block, E in the patch embedding and in the final norm."""
        return sum(parameter.numel() for parameter in self._list_tuned(backbone))

    def _list_tuned(self, backbone: HasSites) -> Iterator[nn.Parameter]:
        chosen = self.choose_blocks(backbone)
        yield from list_biases(backbone, chosen)
        if self.position_bias:
            for name, parameter, index in locate_parameters(backbone):
                if name.endswith(POSITION_BIAS) and index in chosen:
                    yield parameter


def list_biases(backbone: HasSites, chosen: Collection[int]) -> list[nn.Parameter]:
    """Return the biases of linear layers, convolutions and norms in the blocks with these numbers.

    What is outside of blocks counts as `locate_parameters` says.
    """
    located = locate_parameters(backbone)
    return [each for name, each, index in located if name.endswith(".bias") and index in chosen]
