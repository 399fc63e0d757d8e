"""Writing pre-trained weights: half-precision safetensors under timm's names, and a card."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from bench.models.backbones.base import Backbone
from bench.models.weights.checkpoints import file_sha256
from bench.models.weights.load import timm_name
from bench.pretrain.recipe import GENERATOR_VERSION, Recipe


def write_weights(file: Path, backbone: Backbone, recipe: Recipe, facts: dict[str, Any]) -> str:
    """Write weights and card, ``<file>`` and ``<stem>.json``; return the SHA-256 of the weights."""
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {}
    for name, tensor in backbone.state_dict().items():
        state[timm_name(name)] = tensor.half().contiguous()
    save_file(state, file, metadata={"format": "pt"})
    digest = file_sha256(file)
    card = {
        "title": f"{recipe.backbone}, pre-trained on images drawn from formulas (bench pretrain)",
        "data": "procedural scenes; no photograph, no medical volume",
        "licence": "apache-2.0",
        "recipe": asdict(recipe),
        "generator_version": GENERATOR_VERSION,
        "sha256": digest,
        "torch": torch.__version__,
        **facts,
    }
    file.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")
    return digest
