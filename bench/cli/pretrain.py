"""The command `pretrain`: the weights that ship with the package, or others by another recipe."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import typer

from bench.cli.display.cases import CaseDisplay
from bench.cli.display.options import OutputRequest
from bench.cli.options import option, takes
from bench.cli.terminal import report_failure
from bench.pretrain import train
from bench.pretrain.recipe import Recipe
from bench.run.training.reached import DivergedError
from bench.specs.protocol import SpecError
from datasets.files import check_writable
from reports.formats.terminal import SafeConsole, escape

commands = typer.Typer()
DEFAULT = Recipe()
OUT = Path("results/pretrain/formula-vit.safetensors")
LAST = 50  # steps whose mean loss the card tells


@dataclass(frozen=True)
class PretrainOptions:
    """A recipe and the file to write, as they were typed."""

    pretext: str = option(
        DEFAULT.pretext, "dense, dense-plain (without nested shapes), contours or mae."
    )
    backbone: str = option(DEFAULT.backbone, "tiny_vit (patch 8) or tiny_vit4 (patch 4).")
    steps: int = option(DEFAULT.steps, "Optimiser steps.")
    batch: int = option(DEFAULT.batch, "Scenes a step.")
    lr: float = option(DEFAULT.lr, "Peak learning rate.")
    decay: str = option(
        DEFAULT.decay, "What weight decay acts on: all, or matrices (no bias, norm, embedding)."
    )
    seed: int = option(DEFAULT.seed, "Of the first weights and of the scenes.")
    out: Path = option(OUT, "File to write; its card gets the suffix .json.")


@commands.command()
@takes(PretrainOptions, OutputRequest)
def pretrain(options: PretrainOptions, output: OutputRequest) -> None:
    """Pre-train a tiny ViT on images drawn from formulas.

    No download, no photograph, no medical volume. Without options it makes the weights that
    ship with the package, which `--weights formula-vit` stands for.

    Exit code: 0 written, 1 the training has diverged and nothing is written, 2 bad input.
    """
    output.check()
    given = asdict(options)
    out = given.pop("out")
    recipe = Recipe(**given)
    if out.suffix != ".safetensors":
        raise SpecError(f"pretrain: --out must end in .safetensors, got {out}")
    check_writable(out)
    check_writable(out.with_suffix(".json"))
    torch.set_num_threads(1)  # the bits must not depend on the number of cores
    started = time.process_time()
    losses = []
    with CaseDisplay(SafeConsole(), output) as display:

        def on_step(done: int, loss: float) -> None:
            losses.append(loss)
            display.on_case("pre-training", done, recipe.steps, f", loss {loss:.4f}")

        try:
            backbone = train.pretrain(recipe, on_step)
        except DivergedError as error:
            raise typer.Exit(report_failure(str(error))) from None
    recent = losses[-LAST:]
    loss = round(sum(recent) / len(recent), 4)
    cpu_s = round(time.process_time() - started)
    try:
        sha256 = train.write_weights(out, backbone, recipe, {"loss": loss, "cpu_s": cpu_s})
    except DivergedError as error:
        raise typer.Exit(report_failure(str(error))) from None
    figures = f"loss {loss}, {cpu_s} CPU s, SHA-256 {sha256}"
    SafeConsole().print(f"wrote {escape(str(out))} and its card: {figures}")
