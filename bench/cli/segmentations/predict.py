"""The command `predict`: one case or many, by the network of a run or by an ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from bench.cli import terminal
from bench.cli.display.board import Board
from bench.cli.display.options import OutputRequest
from bench.cli.options import flag, option, takes
from bench.grid.cells import split_list
from bench.grid.slots import choose_slots
from bench.run.watch.progress import format_time
from datasets.files import make_folder
from reports.formats.terminal import SafeConsole, escape

if TYPE_CHECKING:  # it imports MONAI
    from bench.prediction.many import Outcome
    from bench.prediction.networks import Chosen, Place

commands = typer.Typer()


@dataclass(frozen=True)
class PredictOptions:
    """What to segment, and with which runs, as it was typed."""

    run: str | None = option(None, "Id of a run that is done, or its folder.")
    ensemble: str | None = option(
        None, "RUN,RUN,...: the mean of their softmax, such as of the folds."
    )
    input: list[str] = option(
        ...,
        "Folder or volume of a case, its id in the data set, or CHANNEL=FILE for each channel. For "
        "many: a folder of cases, a datalist, or several of these (repeatable).",
    )
    output: Path = option(..., "File to write, .nii or .nii.gz; for many cases a folder.")
    probabilities: bool = flag(
        "Write CASE.npz, too: float16 (classes, z, y, x), on the input's grid."
    )
    et_min_vox: int | None = option(
        None, "BraTS: voxels that enhancing tumour needs; default: the runs' own.", at_least=0
    )
    out: Path = option(Path("results"), "What `run` wrote to.")
    device: str = option("auto", "auto, cpu, cuda, cuda:1 or mps.")
    data_root: Path | None = option(None, "Where the run's data are now, if they were moved.")
    weights: str | None = option(None, "Where its pre-trained weights are now, if they were moved.")
    release: str | None = option(None, "Release of --input, where its names do not tell.")


@commands.command()
@takes(PredictOptions)
def predict(options: PredictOptions) -> None:
    """Segment a case with the network of a run; or many cases, or with several runs.

    A file has the input's grid and header, and the release's values. With a folder as --output,
    what was written by the same runs from the same files is kept.

    Exit code: 0 all cases are segmented, 1 some could not be, 2 bad input, 130 interrupted.
    """
    from bench.prediction.networks import Place, find_runs  # imports MONAI

    if (options.run is None) == (options.ensemble is None):
        raise ValueError("predict: give --run or --ensemble, one of them")
    names = [options.run] if options.run else split_list(options.ensemble or "", "--ensemble")
    runs = find_runs(names, options.out)
    device = choose_slots(options.device, 1).devices[0]
    place = Place(device, options.data_root, options.weights, options.release or "")
    if is_folder(options.output):
        raise typer.Exit(_predict_many(options, runs, place))
    _predict_one(options, runs, place)


def is_folder(output: Path) -> bool:
    """Return whether an output is a folder, one that exists or one that is to be made."""
    return output.is_dir() or not output.suffix


def describe_volumes(volumes_ml: dict[str, float] | None) -> str:
    """Return the volume of each region in words."""
    found = ", ".join(f"{region} {size:.1f} ml" for region, size in (volumes_ml or {}).items())
    return found or "volumes unknown, as the spacing is"


def _predict_one(options: PredictOptions, runs: "Sequence[Chosen]", place: "Place") -> None:
    from bench.prediction.case import predict_case

    written = predict_case(
        runs,
        options.input,
        options.output,
        place,
        options.et_min_vox,
        probabilities=options.probabilities,
    )
    sentence = f"wrote {written.output}: case {written.case}"
    sentence = f"{sentence}, {describe_volumes(written.volumes_ml)}"
    SafeConsole().print(escape(sentence), highlight=False, soft_wrap=True)


def _predict_many(options: PredictOptions, runs: "Sequence[Chosen]", place: "Place") -> int:
    from bench.prediction.many import predict_many
    from bench.prediction.networks import load_networks
    from datasets.many_cases import find_many_cases

    root = place.root or runs[0].header.spec.root
    cases, problems = find_many_cases(runs[0].info, root, options.input, place.release)
    make_folder(options.output)
    networks = load_networks(runs, place, options.et_min_vox)
    console = SafeConsole()
    with OutcomeDisplay(console, len(cases) + len(problems)) as display:
        try:
            predict_many(
                networks,
                cases,
                problems,
                options.output,
                display.show,
                probabilities=options.probabilities,
            )
        except KeyboardInterrupt:
            n_done = len(display.outcomes)
            what = f": {n_done} of {len(cases) + len(problems)} cases have ended"
            return terminal.report_interrupt(console, what)
    return display.summarise(options.output)


class OutcomeDisplay(Board):
    """Shows a bar with the time left, and a line for each case that has ended."""

    def __init__(self, console: Console, n_cases: int) -> None:
        super().__init__(console, OutputRequest())
        self.outcomes: list[Outcome] = []
        self.n_new = 0
        self.started = self.now()
        self.move("cases", "cases", 0.0, f"0/{n_cases}", None)

    def show(self, outcome: "Outcome", done: int, total: int) -> None:
        """Print how a case ended, and how long the rest will take."""
        self.outcomes.append(outcome)
        self.n_new += outcome.status == "written"
        left_s = self._estimate(total - done)
        self.move("cases", "cases", done / total, f"{done}/{total}", left_s)
        left = "" if left_s is None else f", ETA {format_time(left_s)}"
        place = f"({done}/{total}{left})"
        if outcome.status == "failed":
            what = f"[red]failed[/]  {escape(outcome.case)}: {escape(outcome.reason)}"
        else:
            volumes = escape(describe_volumes(outcome.volumes_ml))
            what = f"[green]{outcome.status:<7}[/] {escape(outcome.case)}, {volumes}"
        self.print(f"{what} {place}")

    def _estimate(self, n_left: int) -> float | None:
        if not self.n_new or not n_left:
            return None
        return (self.now() - self.started) * n_left / self.n_new

    def summarise(self, folder: Path) -> int:
        """Print how many cases ended in which way, and return the exit code."""
        counts = {}
        for status in ("written", "kept", "failed"):
            counts[status] = sum(each.status == status for each in self.outcomes)
        text = ", ".join(f"{count} {status}" for status, count in counts.items())
        self.console.print(f"{escape(folder)}: {text}", highlight=False, soft_wrap=True)
        return terminal.EXIT_FAILED if counts["failed"] else terminal.EXIT_DONE
