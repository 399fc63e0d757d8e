"""The command that scores label files of any origin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def score(
    reference: Annotated[
        Path, typer.Option(help="Label file, or a folder of them: a data root will do.")
    ],
    prediction: Annotated[Path, typer.Option(help="Label file, or a folder of them; of any tool.")],
    dataset: Annotated[
        str, typer.Option(help="brats, kits or lits: label values, regions, rule for empty masks.")
    ],
    release: Annotated[
        str | None,
        typer.Option(
            help="brats2020, brats2023, msd01, kits23, ...; default: by the references' names."
        ),
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(help="A field of the scoring, as in --set eval.hd95=pooled (repeatable)."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Score label files that anybody has made, by the code that scores a run.

    Files of two folders belong together if they are of one case: called as the case, or as its
    label.
    """
    from bench.cli.score import ScoreRequest, score_command

    request = ScoreRequest(reference, prediction, dataset, release, set or [])
    score_command(request, Console(), as_json=json)
