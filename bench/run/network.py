"""The network of a run, from its spec: the same in training, in the reload check and when a delta is restored."""

from __future__ import annotations

import logging

from lightning_fabric import Fabric

from bench.models.backbones.base import set_drop_path
from bench.models.segmenter import Segmenter, apply_method, build_segmenter
from bench.specs.run import Place, RunSpec
from methods.base import Method
from methods.executed import set_execution


def build_model(spec: RunSpec, in_channels: int, n_classes: int) -> Segmenter:
    """Return the segmenter that the method goes into: equal for every method of a seed.

    Raises: ValueError if the weights cannot be had or read, or are others than those of the spec.
    """
    options = spec.protocol.model
    model = build_segmenter(
        options.backbone,
        options.weights,
        in_channels=in_channels,
        n_classes=n_classes,
        patch=spec.protocol.data.patch,
        seed=spec.seeds["model"],
    )
    if (
        spec.weights_sha256
        and model.backbone.loaded
        and model.backbone.loaded.sha256 != spec.weights_sha256
    ):
        raise ValueError(f"weights: '{options.weights}' has changed since the run was planned")
    drop_path = spec.own_protocol.train.drop_path
    if drop_path != "own":
        set_drop_path(model.backbone, float(drop_path))
    return model


def put_method(model: Segmenter, spec: RunSpec, method: Method) -> None:
    """Freeze the backbone and put the run's method into it.

    Raises: MissingRole if the backbone cannot host the method; ValueError if a setting does not fit
    it.
    """
    options = spec.protocol.model
    apply_method(
        model,
        method,
        seed=spec.seeds["method"],
        also_train=options.also_train,
        backbone_mode=options.backbone_mode,
    )


def execute_as(model: Segmenter, place: Place) -> None:
    """Let the network compute in the way that the place asks for, which changes memory and time but no result."""
    set_execution(model, place.execution)


def build_fabric(device: str, precision: str) -> Fabric:
    """Return Fabric for one device such as ``cpu``, ``mps`` or ``cuda:1``.

    Its advice to round fp32 matrix products on a GPU is not printed: they stay exact, and bf16 is
    there for speed.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    kind, _, index = device.partition(":")
    # Fabric types both words as literals; the command line and the protocol have checked them
    return Fabric(accelerator=kind, devices=[int(index)] if index else 1, precision=precision)  # type: ignore[arg-type]
