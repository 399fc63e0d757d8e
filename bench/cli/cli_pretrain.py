"""The command that makes the embedded weights: `pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.pretrain.recipe import Recipe

DEFAULT = Recipe()


def pretrain(
    pretext: Annotated[
        str, typer.Option(help="dense, dense-plain (without nested shapes), contours or mae.")
    ] = DEFAULT.pretext,
    backbone: Annotated[
        str, typer.Option(help="tiny_vit (patch 8) or tiny_vit4 (patch 4).")
    ] = DEFAULT.backbone,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = DEFAULT.steps,
    batch: Annotated[int, typer.Option(help="Scenes a step.")] = DEFAULT.batch,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = DEFAULT.lr,
    seed: Annotated[
        int, typer.Option(help="Of the first weights and of the scenes.")
    ] = DEFAULT.seed,
    out: Annotated[
        Path, typer.Option(help="File to write; its card gets the suffix .json.")
    ] = Path("results/pretrain/formula-vit.safetensors"),
) -> None:
    """Pre-train a tiny ViT on images drawn from formulas: no download, no photograph, no medical volume.

    Without options it makes the weights that ship with the package, which `--weights formula-vit`
    stands for.
    """
    recipe = Recipe(pretext=pretext, backbone=backbone, steps=steps, batch=batch, lr=lr, seed=seed)
    from bench.cli.pretrain import pretrain_command

    pretrain_command(recipe, out, Console())
