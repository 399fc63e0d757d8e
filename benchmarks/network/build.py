"""The network and the training step that benchmarks measure: the product's, on a random patch."""

import torch

from bench.cost.inventory import NetworkShape
from bench.grid.cells import parse_methods
from bench.models.build import build_segmenter
from bench.models.segmenter import Segmenter, apply_method
from bench.run.network import build_fabric
from bench.run.training.step import Batch, TrainingStep, build_step
from bench.specs.protocol import TrainSpec


def build_network(method: str, shape: NetworkShape) -> Segmenter:
    """Return a random network with a method in it, which is written as for ``--methods``."""
    (spec,) = parse_methods(method)
    sizes = {"in_channels": shape.channels, "n_classes": shape.classes, "patch": shape.patch}
    model = build_segmenter(shape.blueprint, **sizes, seed=0)
    apply_method(model, spec.build(), seed=0)
    return model


def build_training(
    model: Segmenter, shape: NetworkShape, device: str = "cpu", precision: str = "32-true"
) -> tuple[TrainingStep, Batch]:
    """Return the protocol's step with its default settings, and a batch of one random patch."""
    fabric = build_fabric(device, precision)
    step = build_step(model.train(), TrainSpec(precision=precision), fabric)
    image = torch.randn(1, shape.channels, *shape.patch)
    label = torch.randint(shape.classes, (1, *shape.patch))
    return step, fabric.to_device({"image": image, "label": label})
