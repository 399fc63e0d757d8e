"""The network of a run, from its spec, and Fabric for its device."""

import logging
from collections.abc import Callable

from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from bench.models.backbones.base import set_drop_path
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.references.base import Reference, Task
from bench.models.references.network import build_network
from bench.models.segmenter import Segmenter, apply_method
from bench.run.donor import read_decoder
from bench.run.ranks.fabric import TeamEnvironment, TeamStrategy
from bench.specs.run import RunSpec, Team, list_devices
from datasets.base import DatasetInfo
from methods.base import Method


def build(
    spec: RunSpec, info: DatasetInfo, on_plain: Callable[[Segmenter], None] = lambda model: None
) -> Segmenter:
    """Return the network of a run: the backbone frozen and its method in it, or a reference.

    ``on_plain`` is called with the network before the method goes into it. Raises: MissingRole if
    the backbone cannot host the method; ValueError if a setting does not fit, or as `build_plain`.
    """
    method = spec.method.build()
    if isinstance(method, Reference):
        whole = build_network(method, describe_task(spec, info), spec.seeds["model"])
        on_plain(whole)
        return whole
    assert isinstance(method, Method)
    options = spec.protocol.model
    model = build_plain(spec, info)
    on_plain(model)
    seed, mode = spec.seeds["method"], options.backbone_mode
    apply_method(model, method, seed, also_train=options.also_train, backbone_mode=mode)
    return model


def describe_task(spec: RunSpec, info: DatasetInfo) -> Task:
    """Return what a network that is trained whole is built for."""
    data = spec.protocol.data
    return Task(len(info.channels), len(info.classes), data.patch, data.spacing_mm)


def build_plain(spec: RunSpec, info: DatasetInfo) -> Segmenter:
    """Return the network that the method goes into: equal for every method of a seed and weights.

    Raises: ValueError if the weights or the decoder of another run cannot be had or read, or are
    others than those of the spec.
    """
    options = spec.protocol.model
    method = spec.method.build()
    from_scratch = isinstance(method, Method) and method.info.from_scratch
    names = (options.backbone, options.weights, options.decoder, options.prefix_tokens)
    model = build_segmenter(
        Blueprint(*names, from_scratch, options.decoder_mode),
        in_channels=len(info.channels),
        n_classes=len(info.classes),
        patch=spec.protocol.data.patch,
        seed=spec.seeds["model"],
        decoder_state=read_decoder(spec.donor) if spec.donor else None,
    )
    expected = spec.weights_sha256
    if expected and model.weights_sha256 not in ("", expected):
        raise ValueError(f"weights: '{options.weights}' has changed since the run was planned")
    drop_path = spec.own_protocol.train.drop_path
    if drop_path != "own":
        set_drop_path(model.backbone, float(drop_path))
    return model


def build_fabric(device: str, precision: str, team: Team | None = None) -> Fabric:
    """Return Fabric for one device such as ``cpu``, ``mps`` or ``cuda:1``.

    With a team, which this process has joined, it is for the device of its rank.
    """
    # no advice to round fp32 matrix products on a GPU: they stay exact, and bf16 is there for speed
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    kind, _, index = device.partition(":")
    devices = [int(index)] if index else 1
    if team is not None:
        return _build_team_fabric(device, precision, team)
    # inside a Slurm job, Fabric would take the job's tasks for processes of one training
    alone = LightningEnvironment()
    # the command line and the protocol have checked both words
    return Fabric(
        accelerator=kind,
        devices=devices,
        precision=precision,  # type: ignore[arg-type]  # Fabric: literals
        plugins=alone,
    )


def _build_team_fabric(device: str, precision: str, team: Team) -> Fabric:
    kind, _, index = device.partition(":")
    first = f"{kind}:{int(index) - team.rank}" if index else kind
    numbers = [int(each.partition(":")[2]) for each in list_devices(first, team.size) if index]
    fabric = Fabric(
        accelerator=kind,
        devices=numbers or team.size,
        strategy=TeamStrategy(),
        precision=precision,  # type: ignore[arg-type]  # Fabric: literals
        plugins=TeamEnvironment(team),
    )
    fabric.launch()
    return fabric
