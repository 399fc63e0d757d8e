"""Whether every method of a request fits its backbone, found out before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from bench.models import registry
from bench.models.pretraining import NONE
from bench.protocol import Protocol
from methods.base import Method, MissingRole, apply


def check_methods(built: Iterable[Method], protocol: Protocol) -> None:
    """Put every method into the backbone once, on torch's meta device: nothing is computed and no memory taken.

    A backbone without a place for a method is no error: that run ends as skipped, with the reason.
    Raises: ValueError with the method's own sentence if a setting does not fit the backbone.
    """
    depth, *image_size = protocol.data.patch
    height, width = image_size
    for method in built:
        with torch.device("meta"):
            backbone = registry.build(protocol.model.backbone, 3, (height, width), NONE)
            backbone.volume.depth = depth
            try:
                apply(method, backbone)
            except MissingRole:
                continue
