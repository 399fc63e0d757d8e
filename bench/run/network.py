"""The network of a run: the same in training, in the reload check and when a delta is restored."""

from __future__ import annotations

import logging
from collections.abc import Callable

from lightning_fabric import Fabric

from bench.models.backbones.base import set_drop_path
from bench.models.build import build_segmenter
from bench.models.segmenter import Segmenter, apply_method
from bench.specs.run import RunSpec
from datasets.base import DatasetInfo


def build(
    spec: RunSpec, info: DatasetInfo, on_plain: Callable[[Segmenter], None] = lambda model: None
) -> Segmenter:
    """Return the network of a run with its method in it, the backbone frozen.

    ``on_plain`` is called with the network before the method goes into it. Raises: MissingRole if
    the backbone cannot host the method; ValueError if a setting does not fit, or as `build_plain`.
    """
    options = spec.protocol.model
    model = build_plain(spec, info)
    on_plain(model)
    apply_method(
        model,
        spec.method.build(),
        seed=spec.seeds["method"],
        also_train=options.also_train,
        backbone_mode=options.backbone_mode,
    )
    return model


def build_plain(spec: RunSpec, info: DatasetInfo) -> Segmenter:
    """Return the network that the method goes into: equal for every method of a seed.

    Raises: ValueError if the weights cannot be had or read, or are others than those of the spec.
    """
    options = spec.protocol.model
    model = build_segmenter(
        options.backbone,
        options.weights,
        in_channels=len(info.channels),
        n_classes=len(info.classes),
        patch=spec.protocol.data.patch,
        seed=spec.seeds["model"],
    )
    expected = spec.weights_sha256
    if expected and model.weights_sha256 not in ("", expected):
        raise ValueError(f"weights: '{options.weights}' has changed since the run was planned")
    drop_path = spec.own_protocol.train.drop_path
    if drop_path != "own":
        set_drop_path(model.backbone, float(drop_path))
    return model


def build_fabric(device: str, precision: str) -> Fabric:
    """Return Fabric for one device such as ``cpu``, ``mps`` or ``cuda:1``.

    Its advice to round fp32 matrix products on a GPU is not printed: they stay exact, and bf16 is
    there for speed.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    kind, _, index = device.partition(":")
    devices = [int(index)] if index else 1
    # Fabric types both words as literals; the command line and the protocol have checked them
    return Fabric(accelerator=kind, devices=devices, precision=precision)  # type: ignore[arg-type]
