"""The command `pretrain`: the weights that ship with the package, or others by another recipe."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.markup import escape
from typer import Option

from bench.cli.options import takes
from bench.cli.terminal import case_progress
from bench.pretrain import train
from bench.pretrain.card import write_weights
from bench.pretrain.recipe import Recipe
from bench.specs.protocol import SpecError

commands = typer.Typer()
DEFAULT = Recipe()
LAST = 50  # steps whose mean loss the card tells


@dataclass(frozen=True)
class PretrainOptions:
    """A recipe and the file to write, as they were typed."""

    pretext: Annotated[
        str, Option(help="dense, dense-plain (without nested shapes), contours or mae.")
    ] = DEFAULT.pretext
    backbone: Annotated[str, Option(help="tiny_vit (patch 8) or tiny_vit4 (patch 4).")] = (
        DEFAULT.backbone
    )
    steps: Annotated[int, Option(help="Optimiser steps.")] = DEFAULT.steps
    batch: Annotated[int, Option(help="Scenes a step.")] = DEFAULT.batch
    lr: Annotated[float, Option(help="Peak learning rate.")] = DEFAULT.lr
    seed: Annotated[int, Option(help="Of the first weights and of the scenes.")] = DEFAULT.seed
    out: Annotated[Path, Option(help="File to write; its card gets the suffix .json.")] = Path(
        "results/pretrain/formula-vit.safetensors"
    )


@commands.command()
@takes(PretrainOptions)
def pretrain(options: PretrainOptions) -> None:
    """Pre-train a tiny ViT on images drawn from formulas: no download, no photograph, no medical
    volume.

    Without options it makes the weights that ship with the package, which `--weights formula-vit`
    stands for.
    """
    recipe = Recipe(
        pretext=options.pretext,
        backbone=options.backbone,
        steps=options.steps,
        batch=options.batch,
        lr=options.lr,
        seed=options.seed,
    )
    if options.out.suffix != ".safetensors":
        raise SpecError(f"pretrain: --out must end in .safetensors, got {options.out}")
    torch.set_num_threads(1)  # the bits must not depend on the number of cores
    console = Console()
    started = time.process_time()
    losses = []
    with case_progress(console) as on_progress:

        def on_step(done: int, loss: float) -> None:
            losses.append(loss)
            on_progress("pre-training", done, recipe.steps)

        backbone = train.pretrain(recipe, on_step)
    recent = losses[-LAST:]
    loss = round(sum(recent) / len(recent), 4)
    cpu_s = round(time.process_time() - started)
    sha256 = write_weights(options.out, backbone, recipe, {"loss": loss, "cpu_s": cpu_s})
    console.print(
        f"wrote {escape(str(options.out))} and its card: "
        f"loss {loss}, {cpu_s} CPU s, SHA-256 {sha256}"
    )
