"""The commands below ``data``: demo, check, splits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def data_demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    dataset: Annotated[str | None, typer.Option(help="brats (default), kits or lits.")] = None,
    layout: Annotated[
        str | None,
        typer.Option(help="A release: brats2019, brats2023, msd01, kits23, lits-kaggle, ..."),
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    seed: Annotated[int, typer.Option(help="Other seeds give other volumes.")] = 0,
    full_size: Annotated[
        bool, typer.Option("--full-size", help="155x240x240 voxels instead of 32x64x64.")
    ] = False,
) -> None:
    """Write synthetic volumes in the real data set's files and folders."""
    from bench.cli.data import demo_command

    demo_command(dataset, layout, out, cases, seed, full_size=full_size, console=Console())


def data_check(
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the data, as it was downloaded.")
    ] = None,
    datasets: Annotated[
        str | None,
        typer.Option(
            "--datasets",
            help="Comma list of brats, kits, lits, or datalists (.json); default: all that are there.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=0, help="Processes that read; 0: one a core.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Read every byte of a data set and list everything that is wrong with it.

    Exit code: 0 all cases can be used (warnings do not count), 1 some cannot, 2 bad input.
    """
    from bench.cli.data import check_command

    raise typer.Exit(check_command(data_root, datasets, jobs, as_json=json, console=Console()))


def data_splits(
    datasets: Annotated[
        str, typer.Option("--datasets", help="brats, kits, lits or a datalist (.json).")
    ],
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the data; none for a datalist.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="How many.")] = 5,
    exclude: Annotated[
        str, typer.Option(help="Preset of cases to leave out, such as nnunet2019.")
    ] = "",
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("splits_final.json"),
) -> None:
    """Write the folds that runs use, by nnU-Net's rule, as nnU-Net reads them.

    A run takes such a file from the data's folder by itself, or from elsewhere with --set
    data.splits=FILE.
    """
    from bench.cli.data import splits_command

    splits_command(data_root, datasets, folds, exclude, out, Console())
