"""Full fine-tuning: every parameter of the backbone trains.

The upper reference of every comparison.
"""

from dataclasses import dataclass
from typing import ClassVar

from methods import surgery
from methods.base import Method, MethodInfo
from methods.sites import HasSites


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
    )

    def inject(self, backbone: HasSites) -> None:
        surgery.unfreeze(backbone)

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return all parameters of the backbone."""
        return sum(parameter.numel() for parameter in backbone.parameters())
