"""What `bench pretrain` does: train, write weights and card, say what was written."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape

from bench.cli.terminal import case_progress
from bench.pretrain.card import write_weights
from bench.pretrain.recipe import Recipe
from bench.pretrain.train import pretrain
from bench.specs.protocol import SpecError

LAST = 50  # steps whose mean loss the card tells


def pretrain_command(recipe: Recipe, out: Path, console: Console) -> None:
    """Carry out a recipe on one thread, so that the bits do not depend on how many cores there are.

    Raises: SpecError if the file to write has no safetensors suffix.
    """
    if out.suffix != ".safetensors":
        raise SpecError(f"pretrain: --out must end in .safetensors, got {out}")
    torch.set_num_threads(1)
    started, losses = time.process_time(), []
    with case_progress(console) as on_progress:

        def on_step(done: int, loss: float) -> None:
            losses.append(loss)
            on_progress("pre-training", done, recipe.steps)

        backbone = pretrain(recipe, on_step)
    recent = losses[-LAST:]
    facts = {
        "loss": round(sum(recent) / len(recent), 4),
        "cpu_s": round(time.process_time() - started),
    }
    sha256 = write_weights(out, backbone, recipe, facts)
    console.print(
        f"wrote {escape(str(out))} and its card: loss {facts['loss']}, {facts['cpu_s']} CPU s, SHA-256 {sha256}"
    )
