"""The trained networks of some runs, which segment a case together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch

from bench.run.cases import preparation_of
from bench.run.delta_file import DeltaHeader, read_delta
from bench.run.inference.predictor import Predictor
from bench.run.network import build_fabric
from bench.run.restore import load_run
from bench.scoring.cases import NotFiniteError
from bench.scoring.postprocessing import is_known, relabel_small
from bench.specs.protocol import ET_AUTO, Protocol
from bench.specs.run import DELTA_FILE, RUNS
from datasets.base import Case, DataError, DatasetInfo
from datasets.prepared.frame import Frame
from datasets.prepared.prepare import prepare_case
from reports.records.run import RESULT_FILE, read_result


@dataclass(frozen=True)
class Place:
    """Where the networks compute, and where their data and weights are now, if they were moved."""

    device: str
    root: Path | None = None
    weights: str | None = None
    release: str = ""  # of the input, where its names do not tell


@dataclass(frozen=True)
class Chosen:
    """A run that was asked for, by what its folder says; its network is not built yet."""

    folder: Path
    header: DeltaHeader

    @property
    def protocol(self) -> Protocol:
        return self.header.spec.own_protocol

    @property
    def info(self) -> DatasetInfo:  # with the window that the run fitted, if it fitted one
        return self.header.dataset


@dataclass(frozen=True)
class Networks:
    """The networks of one or several runs that agree in what they segment, and how."""

    runs: tuple[Chosen, ...]
    compute_logits: tuple[Callable[[np.ndarray], torch.Tensor], ...]  # in the order of ``runs``
    min_vox: int  # that enhancing tumour needs; 0: any number


@dataclass(frozen=True)
class Segmentation:
    """The classes of a case, and their probabilities if they were asked for."""

    classes: np.ndarray  # uint8 (D, H, W), on the file's grid
    probabilities: np.ndarray | None  # float32 (K, D, H, W), on the prepared grid
    frame: Frame
    spacing_known: bool


def find_runs(names: Sequence[str], out: Path) -> tuple[Chosen, ...]:
    """Return the runs of an ensemble, or the only one.

    Raises: DataError if one does not exist, or if they differ in data set, classes or grid;
    DeltaError if a delta cannot be read.
    """
    folders = [find_run(name, out) for name in names]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise DataError(f"--ensemble: must name different runs, got {', '.join(names)}")
    runs = tuple(Chosen(folder, read_delta(folder)[0]) for folder in folders)
    for run in runs[1:]:
        _check_alike(runs[0], run)
    return runs


def find_run(name: str, out: Path) -> Path:
    """Return the folder of a run that is given by its id or by the folder itself.

    Raises: DataError with the nearest id if there is none.
    """
    runs = out / RUNS
    for folder in (Path(name), runs / name):
        if (folder / DELTA_FILE).is_file():
            return folder
    known = sorted(file.parent.name for file in runs.glob(f"*/{DELTA_FILE}"))
    close = get_close_matches(name, known, n=1, cutoff=0.3)
    hint = f"did you mean '{close[0]}'?" if close else f"{len(known)} of them are in {runs}"
    where = "--out says where runs are"
    raise DataError(f"--run: no run '{name}' with a trained network ({hint}; {where})")


def choose_cutoff(runs: Sequence[Chosen], asked: int | None) -> int:
    """Return how many voxels enhancing tumour needs: as asked, else as all the runs have it.

    Raises: DataError if the runs differ, or as `read_cutoff`.
    """
    if not is_known(runs[0].info):
        return 0
    if asked is not None:
        return asked
    found = {}
    for run in runs:
        found[run.header.run_id] = read_cutoff(run.folder, run.protocol.eval.et_min_vox)
    if len(set(found.values())) > 1:
        got = ", ".join(f"{count} of {run_id}" for run_id, count in found.items())
        rule = "runs must share the cutoff of enhancing tumour"
        raise DataError(f"--ensemble: {rule}, got {got} (--et-min-vox sets one)")
    return next(iter(found.values()))


def read_cutoff(folder: Path, asked: str) -> int:
    """Return how many voxels enhancing tumour needs; under ``auto``, as many as the run chose."""
    if asked != ET_AUTO:
        return int(asked)
    result = read_result(folder)
    if result is None or result.postprocessing is None:
        need = "the cutoff that the run chose (eval.et_min_vox is auto)"
        raise DataError(f"--run: {folder} must have a {RESULT_FILE} with {need}")
    return result.postprocessing.min_vox


def load_networks(runs: Sequence[Chosen], place: Place, et_min_vox: int | None = None) -> Networks:
    """Return the networks of some runs. Raises: as `load_run` and `choose_cutoff`."""
    min_vox = choose_cutoff(runs, et_min_vox)
    computed = []
    for run in runs:
        _, model = load_run(run.folder, place.device, place.root, place.weights)
        protocol = run.protocol
        fabric = build_fabric(place.device, protocol.train.precision)
        predictor = Predictor(model, protocol.data.patch, protocol.eval, fabric)
        computed.append(predictor.compute_logits)
    return Networks(tuple(runs), tuple(computed), min_vox)


@torch.inference_mode()
def segment_case(
    networks: Networks, case: Case, scratch: Path, *, probabilities: bool = False
) -> Segmentation:
    """Return the segmentation of a case, which is treated like the runs' own cases.

    Several networks give each class the mean of their softmax. ``scratch`` is a folder for the
    prepared arrays. Raises: DataError if the case cannot be read; NotFiniteError naming the case.
    """
    first = networks.runs[0]
    settings = preparation_of(first.protocol.data)
    ready = prepare_case(first.info, case, settings, scratch / "case")
    total: torch.Tensor | None = None
    for run, compute_logits in zip(networks.runs, networks.compute_logits, strict=True):
        torch.set_num_threads(run.protocol.train.threads)  # as the run predicted
        try:
            logits = compute_logits(replace(ready, window=run.info.window).image())
        except NotFiniteError as error:
            raise NotFiniteError(f"{error} for case {case.id}") from None
        alone = len(networks.runs) == 1 and not probabilities
        scores = logits if alone else logits.cpu().softmax(dim=0)
        total = scores if total is None else total.add_(scores)
    assert total is not None
    mean = total.div_(len(networks.runs))
    # the softmax of one network may round two classes to one value
    deciding = logits if len(networks.runs) == 1 else mean
    classes = ready.restore(deciding.argmax(dim=0).to(torch.uint8).cpu().numpy())
    if networks.min_vox:
        classes = relabel_small(classes, first.info, networks.min_vox)
    kept = mean.numpy() if probabilities else None
    return Segmentation(classes, kept, ready.frame(), ready.spacing_known)


def _check_alike(first: Chosen, other: Chosen) -> None:
    """Raise DataError if two runs cannot be averaged voxel by voxel."""
    for what, read in SHARED.items():
        values = read(first), read(other)
        if values[0] != values[1]:
            got = f"{values[0]} of {first.header.run_id} and {values[1]} of {other.header.run_id}"
            raise DataError(f"--ensemble: runs must share {what}, got {got}")


SHARED: dict[str, Callable[[Chosen], object]] = {  # what it is -> how it is read
    "the data set": lambda run: run.info.name,
    "the channels": lambda run: ", ".join(run.info.channels),
    "the classes": lambda run: ", ".join(run.info.classes),
    "the label values": lambda run: run.info.label_values,
    "the regions": lambda run: run.info.regions,
    "data.spacing_mm": lambda run: run.protocol.data.spacing_mm,
    "data.patch": lambda run: run.protocol.data.patch,
    "data.crop": lambda run: run.protocol.data.crop,
}
