"""The command `data export`: a data set in the form of another tool."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.cli.data.opening import open_all
from bench.cli.display.cases import case_progress
from bench.cli.options import flag, option, takes
from bench.grid.sources import check_exclude
from datasets.files import check_writable, write_durably
from datasets.nnunet.export import Exported, ExportOptions, export_dataset
from datasets.splits.file import SPLITS_FILE
from reports.formats.terminal import SafeConsole, escape


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and how, as it was typed."""

    datasets: str = option(..., "brats, kits21, ... or a datalist (.json).")
    out: Path = option(..., "Folder to write into: nnUNet_raw.")
    data_root: Path | None = option(None, "Folder of the data as downloaded; none for datalists.")
    release: str | None = option(None, "brats2020, ...; default: by the names of the files.")
    format: Literal["nnunet"] = option("nnunet", "A raw folder of nnU-Net v2.")
    id: int = option(500, "Number of nnU-Net's data set, 1 to 999.", at_least=1)
    folds: int = option(5, "How many.", at_least=2)
    exclude: str = option("", "Preset of cases to leave out, such as nnunet2019.")
    link: bool = flag("Link images that nnU-Net can read as they are; no copies.")
    skip_bad_cases: bool = flag("Leave out cases that cannot be used.")
    preprocessed: Path | None = option(
        None, "nnUNet_preprocessed: the folds are written there, too."
    )
    jobs: int = option(1, "Processes that read and write.", at_least=1)


@takes(ExportRequest)
def export(request: ExportRequest) -> None:
    """Write a data set as nnU-Net plans it: images, labels 0, 1, 2, ..., dataset.json and folds.

    The folds are those of runs. nnU-Net takes them from splits_final.json in its folder of
    preprocessed data.
    """
    opened = open_all(request.data_root, request.datasets, request.release)
    if len(opened) != 1:
        raise ValueError(f"--datasets: must be one data set, got {request.datasets}")
    check_exclude(request.exclude, opened)
    options = ExportOptions(
        number=request.id,
        n_folds=request.folds,
        exclude=request.exclude,
        link=request.link,
        skip_bad_cases=request.skip_bad_cases,
        jobs=request.jobs,
    )
    if request.preprocessed is not None:
        check_writable(request.preprocessed / SPLITS_FILE)
    with case_progress(SafeConsole(stderr=True)) as on_case:

        def on_written(done: int, total: int) -> None:
            on_case("writing", done, total)

        written = export_dataset(opened[0], request.out, options, on_written)
    if request.preprocessed is not None:
        folds_file = request.preprocessed / written.folder.name / SPLITS_FILE
        write_durably(folds_file, (written.folder / SPLITS_FILE).read_bytes())
    _print_summary(written, request.preprocessed)


def _print_summary(written: Exported, preprocessed: Path | None) -> None:
    console = SafeConsole()
    counts = f"{written.n_training} cases to train on, {written.n_test} without a label"
    console.print(f"wrote {escape(written.folder)}: {counts}", soft_wrap=True)
    for problem in written.left_out:
        console.print(f"[yellow]left out:[/] {escape(problem.message)}", soft_wrap=True)
    if not written.regions:
        text = (
            "regions that nnU-Net cannot paint one over the other are left out: it trains classes"
        )
        console.print(f"[yellow]{text}[/]", soft_wrap=True)
    if preprocessed is None:
        folds_file = f"nnUNet_preprocessed/{written.folder.name}/{SPLITS_FILE}"
        source = written.folder / SPLITS_FILE
        console.print(
            f"folds: copy {escape(source)} to {escape(folds_file)}, or give --preprocessed",
            soft_wrap=True,
        )
