"""The estimate of a training step's bytes against the bytes of a real network."""

import re
from pathlib import Path

import pytest
import torch

import methods
from bench.cost.inventory import NetworkShape
from bench.cost.memory import count_bytes, count_saved_bytes
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.segmenter import apply_method
from bench.run.training.loss import build_loss
from docs.generate_methods import SHAPES
from docs.memory_section import estimate_listed, estimate_step
from methods.executed import set_execution
from methods.execution import Execution

SETTING = NetworkShape("tiny_vit", patch=(4, 32, 32), channels=2, classes=3)


@pytest.mark.parametrize("way", [Execution(), Execution(True, 3)], ids=["plain", "saving"])
@pytest.mark.parametrize("name", ["full", "linear", "med_adapter"])
def test_an_estimate_is_what_a_real_step_holds(name, way):
    estimate = estimate_step(SETTING, methods.build(name), way)
    model = build_segmenter(
        Blueprint("tiny_vit"), in_channels=2, n_classes=3, patch=SETTING.patch, seed=0
    )
    apply_method(model, methods.build(name), seed=0)
    set_execution(model.train(), way)
    image, label = torch.randn(1, 2, *SETTING.patch), torch.randint(3, (1, 1, *SETTING.patch))
    loss_function = build_loss()
    saved = count_saved_bytes(model, lambda: loss_function(model(image), label))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # kernels of a device keep a little more or less: 92 KB of the 3.4 MB that this tiny network
    # keeps in all
    assert estimate.saved == pytest.approx(saved, rel=0.035)
    assert estimate.weights == count_bytes([*model.parameters(), *model.buffers()])
    assert estimate.gradients == sum(4 * parameter.numel() for parameter in trained)
    assert estimate.optimizer == 2 * estimate.gradients


def test_the_readme_states_the_estimated_shares():
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    section = readme.partition("## Few parameters are not little memory")[2].partition("\n## ")[0]
    stated = re.findall(r"^\| `(\w+)` \| ([\d.]+) \| (\d+) \|$", section, re.MULTILINE)
    steps = estimate_listed(SHAPES["ViT-B/16"], Execution())
    decoder, everything = steps["linear"].gradients, steps["full"].gradients
    expected = {}
    for name, step in steps.items():
        tuned = (step.gradients - decoder) / (everything - decoder)
        expected[name] = (round(100 * tuned, 2), round(100 * sum(step) / sum(steps["full"])))
    assert {name: (float(tuned), int(memory)) for name, tuned, memory in stated} == expected
