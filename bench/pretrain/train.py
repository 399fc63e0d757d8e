"""Pre-training: fresh images every step, drawn from the seed and the step; and its two files."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from bench.models.backbones.info import NONE
from bench.models.backbones.vit import ViTBackbone
from bench.models.build import build_backbone
from bench.models.finite import find_not_finite, shorten_names
from bench.models.weights.checkpoints import file_sha256
from bench.models.weights.load import timm_name
from bench.pretrain.random_source import N_CHANNELS
from bench.pretrain.recipe import GENERATOR_VERSION, Recipe
from bench.pretrain.targets import build_pretext
from bench.run.training.optimiser import group_by_decay
from bench.run.training.reached import DivergedError
from bench.run.training.schedule import lr_factor
from bench.specs.run import derive_seed
from datasets.files import new_file, write_durably
from datasets.locks import hold_lock

BETAS = (0.9, 0.98)
CLIP_NORM = 1.0


def pretrain(
    recipe: Recipe, on_step: Callable[[int, float], None] = lambda done, loss: None
) -> ViTBackbone:
    """Return a backbone trained by a recipe, calling ``on_step(done, loss)`` after each step.

    The global random state is untouched. On one machine and with one number of threads, equal
    recipes give equal bits. Raises: DivergedError if a loss or a gradient is not finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed("pretrain", recipe.seed))
        backbone = build_backbone(recipe.backbone, N_CHANNELS, (recipe.size, recipe.size), NONE)
        assert isinstance(backbone, ViTBackbone)  # the recipe knows no other
        pretext = build_pretext(backbone, recipe.pretext)
    groups = group_by_decay(pretext, pretext.parameters(), recipe.weight_decay, recipe.decay)
    optimizer = torch.optim.AdamW(groups, recipe.lr, BETAS, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: lr_factor(step, recipe.steps, recipe.warmup_frac)
    )
    pretext.train()
    for step in range(recipe.steps):
        generator = torch.Generator().manual_seed(derive_seed("scenes", recipe.seed, step))
        loss = pretext.loss(generator, recipe)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
        norm = torch.nn.utils.clip_grad_norm_(pretext.parameters(), CLIP_NORM)
        _check_finite(step, loss=loss, gradient=norm)
        optimizer.step()
        schedule.step()
        on_step(step + 1, float(loss.detach()))
    return backbone.eval()


def _check_finite(step: int, **values: torch.Tensor) -> None:
    """Raise DivergedError if a number of a step is not finite."""
    for name, value in values.items():
        if not torch.isfinite(value):
            rule = f"the {name} of step {step} must be finite, got {float(value.detach())}"
            raise DivergedError(f"pretrain: {rule} (try a smaller --lr)")


def write_weights(file: Path, backbone: ViTBackbone, recipe: Recipe, facts: dict[str, Any]) -> str:
    """Write weights and card, ``<file>`` and ``<stem>.json``; return the SHA-256 of the weights.

    Raises: DivergedError if a weight is not finite in half precision.
    """
    state = {}
    for name, tensor in backbone.state_dict().items():
        state[timm_name(name)] = tensor.half().contiguous()
    if names := find_not_finite(state):
        rule = f"weights must be finite in half precision, got others in {shorten_names(names)}"
        raise DivergedError(f"pretrain: {rule} (try a smaller --lr)")
    card: dict[str, Any] = {
        "title": f"{recipe.backbone}, pre-trained on images drawn from formulas (bench pretrain)",
        "data": "procedural scenes; no photograph, no medical volume",
        "licence": "apache-2.0",
        "recipe": asdict(recipe),
        "generator_version": GENERATOR_VERSION,
        "torch": torch.__version__,
        **facts,
    }
    with hold_lock(file.with_name(f".{file.name}.lock")):  # the two files are of one command
        with new_file(file) as unfinished:
            save_file(state, unfinished, metadata={"format": "pt"})
        card["sha256"] = file_sha256(file)
        write_durably(file.with_suffix(".json"), json.dumps(card, indent=1) + "\n")
    return card["sha256"]
