"""The bytes of a training step, counted on torch's meta device."""

from dataclasses import replace

import torch

from bench.cost.inventory import NetworkShape, build_outline
from bench.cost.peak import find_peak_bytes
from bench.models.references.base import Reference
from bench.models.references.network import build_network
from bench.models.segmenter import Segmenter, apply_method
from bench.run.network import describe_task
from bench.run.training.loss import build_loss
from bench.run.training.optimiser import build_optimizer
from bench.specs.run import RunSpec
from datasets.base import DatasetInfo
from methods.base import Method
from methods.executed import set_execution
from methods.execution import Execution

MARGIN = 1.1  # workspaces of libraries; see docs/measuring.md
Shape = tuple[int, int, int]


def estimate_step(
    spec: RunSpec, info: DatasetInfo, execution: Execution, patch: Shape, batch: int
) -> int:
    """Return the bytes that a training step holds at its peak, in fp32.

    Raises: MissingRole if the backbone cannot host the method.
    """
    train = spec.own_protocol.train
    with torch.device("meta"):
        model = _build(spec, info, patch)
        image = torch.empty(batch, len(info.channels), *patch)
        label = torch.zeros(batch, *patch, dtype=torch.long)
    set_execution(model, execution)
    optimizer = build_optimizer(model.train(), train)
    for group in optimizer.param_groups:  # a fused step is in place, as a plain one is
        group["fused"] = group["foreach"] = False
    loss_function = build_loss(train.loss)

    def carry_out() -> None:
        for _ in range(2):  # the first allocates the optimiser's state
            optimizer.zero_grad()
            loss_function(model(image).float(), label[:, None]).backward()
            optimizer.step()

    return find_peak_bytes([*model.parameters(), *model.buffers(), image, label], carry_out)


def _build(spec: RunSpec, info: DatasetInfo, patch: Shape) -> Segmenter:
    protocol = spec.protocol
    method = spec.method.build()
    if isinstance(method, Reference):
        task = replace(describe_task(spec, info), patch=patch)
        return build_network(method, task, 0)
    assert isinstance(method, Method)
    model = protocol.model
    shape = NetworkShape(
        model.backbone,
        patch,
        len(info.channels),
        len(info.classes),
        decoder=model.decoder,
        prefix_tokens=model.prefix_tokens,
        decoder_mode=model.decoder_mode,
    )
    outline = build_outline(shape)
    apply_method(outline, method, 0, also_train=model.also_train, backbone_mode=model.backbone_mode)
    return outline
