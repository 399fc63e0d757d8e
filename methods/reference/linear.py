"""Linear probing: the backbone stays as it is and only the decoder trains.

The lower reference of every comparison.

Our choices: the decoder stands for the linear head of classification.
"""

from dataclasses import dataclass
from typing import ClassVar

from methods.base import Family, Method, MethodInfo
from methods.settings import SpecError
from methods.sites import HasSites


@dataclass(frozen=True)
class Linear(Method):
    """Train the decoder alone."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="linear",
        title="Linear probing (decoder only)",
        paper="the reference of all tuning papers",
        url="",
        roles=(),
        identity_at_init=True,
        identity_note="nothing is inserted",
        family=Family.REFERENCE,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blocks != "all":
            hint = "no block has anything that trains"
            raise SpecError(f"linear: blocks must be all, got {self.blocks} ({hint})")

    def inject(self, backbone: HasSites) -> None:
        """Leave the backbone frozen."""

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return 0: nothing is inserted."""
        return 0
