"""Full fine-tuning: every parameter of the backbone trains.

The upper reference of every comparison.

Our choices: with ``blocks``, the blocks named train; the patch embedding, the position embedding
and the class token train with the first block, the merging between two stages with the block
behind it, the final norm with the last one.
"""

from dataclasses import dataclass
from typing import ClassVar

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.sites import HasSites, Role, locate_parameters


@dataclass(frozen=True)
class Full(Method):
    """Train everything; nothing is inserted."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="full",
        title="Full fine-tuning",
        paper="the reference of all tuning papers",
        url="",
        roles=(),
        identity_at_init=True,
        identity_note="nothing is inserted",
        tunes_backbone=True,
        family=Family.REFERENCE,
    )

    def inject(self, backbone: HasSites) -> None:
        if self.blocks == "all":
            surgery.unfreeze(backbone)
            return
        for site in self.find_sites(backbone, Role.BLOCK):
            surgery.thaw_module(backbone, site.module)
        chosen = self.choose_blocks(backbone)
        located = locate_parameters(backbone)
        surgery.thaw(parameter for _, parameter, index in located if index in chosen)

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return all parameters of the backbone, or those of its chosen ``blocks``."""
        if self.blocks == "all":  # a backbone may offer no blocks
            return sum(parameter.numel() for parameter in backbone.parameters())
        chosen = self.choose_blocks(backbone)
        located = locate_parameters(backbone)
        return sum(parameter.numel() for _, parameter, index in located if index in chosen)
