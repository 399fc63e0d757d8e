"""The published release that a run's data are, and the releases that it shares cases with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ReleaseRecord:
    """A release of a public data set, as `datasets` knew it when the run was carried out."""

    title: str  # how tables name it: "BraTS 2020"
    family: str  # the data set that it is a release of, such as "brats"
    # Other release -> what this one does, such as "contains" or "shares cases with".
    overlaps: Mapping[str, str] = field(default_factory=dict, hash=False)
