"""Segment one case with the network of a run, and write the classes onto the case's own grid."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from bench.run.cases import preparation_of
from bench.run.delta_file import DELTA_FILE, read_delta
from bench.run.network import build_fabric, build_predictor
from bench.run.restore import load_run
from bench.scoring.cases import segment
from bench.scoring.metrics import MM3_PER_ML, region_mask
from bench.scoring.postprocessing import AUTO, is_known, relabel_small
from bench.specs.run import RUNS
from datasets.base import DataError, DatasetInfo
from datasets.files import new_file
from datasets.prepared.prepare import prepare_case
from datasets.single_case import VOLUME, find_single_case
from datasets.volumes.geometry import Geometry
from reports.records.run import RESULT_FILE, read_result


@dataclass(frozen=True)
class Prediction:
    """What was written."""

    case: str
    output: Path
    volumes_ml: dict[str, float] | None  # of each region; None where the spacing is not known


def predict_case(
    folder: Path,
    inputs: Sequence[str],
    output: Path,
    device: str,
    root: Path | None = None,
    weights: str | None = None,
) -> Prediction:
    """Write the segmentation of a case by a run's network, in the label values of its data set.

    The case is treated like the run's own cases. The file has the grid and header of the case's
    first volume. ``inputs`` is as in `find_single_case`, ``root`` and ``weights`` as in `load_run`.
    Raises: DeltaError if the network cannot be restored; DataError if the case cannot be read, if
    the run chose a cutoff and its result is gone, or if the output exists or is no NIfTI file;
    NotFiniteError if the network's logits are not finite.
    """
    _check_output(output)
    header, _ = read_delta(folder)
    info = header.dataset  # with the window that the run fitted, if it fitted one
    case = replace(find_single_case(info, root or header.spec.root, inputs), label=None)
    spec, model = load_run(folder, device, root, weights)
    protocol = spec.own_protocol
    torch.set_num_threads(protocol.train.threads)  # as the run predicted
    min_vox = read_cutoff(folder, protocol.eval.et_min_vox) if is_known(info) else 0
    fabric = build_fabric(device, protocol.train.precision)
    predict = build_predictor(model, protocol.data.patch, protocol.eval, fabric)
    with tempfile.TemporaryDirectory() as scratch:
        ready = prepare_case(info, case, preparation_of(protocol.data), Path(scratch) / "case")
        classes = ready.restore(segment(predict, ready))
        geometry = ready.frame().geometry
    if min_vox:
        classes = relabel_small(classes, info, min_vox)
    write_classes(classes, info, geometry, next(iter(case.images.values())), output)
    volumes_ml = _measure(classes, info, geometry) if ready.spacing_known else None
    return Prediction(case.id, output, volumes_ml)


def write_classes(
    classes: np.ndarray, info: DatasetInfo, geometry: Geometry, like: Path, output: Path
) -> None:
    """Write a canonical class map (D, H, W) as label values on the grid of the volume ``like``."""
    values = np.array(info.label_values)
    dtype = np.uint8 if values.min() >= 0 and values.max() <= 255 else np.int16
    source = nib.load(like)
    header = source.header.copy()
    header.set_data_dtype(dtype)
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["cal_max"] = header["cal_min"] = 0  # they are about intensities
    stored = geometry.to_stored(values.astype(dtype)[classes])
    # nibabel leaves sform, qform and their codes alone as long as the affine is the header's own
    image = type(source)(stored, source.affine, header)
    with new_file(output) as unfinished:
        nib.save(image, unfinished)


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


def read_cutoff(folder: Path, asked: str) -> int:
    """Return how many voxels enhancing tumour needs; under ``auto``, as many as the run chose."""
    if asked != AUTO:
        return int(asked)
    result = read_result(folder)
    if result is None or result.postprocessing is None:
        need = "the cutoff that the run chose (eval.et_min_vox is auto)"
        raise DataError(f"--run: {folder} must have a {RESULT_FILE} with {need}")
    return result.postprocessing.min_vox


def _check_output(output: Path) -> None:
    if not output.name.endswith(VOLUME):
        raise DataError(f"--output: must end in .nii or .nii.gz, got {output}")
    if output.exists():
        raise DataError(f"--output: {output} is there already (give another name, or delete it)")


def _measure(classes: np.ndarray, info: DatasetInfo, geometry: Geometry) -> dict[str, float]:
    voxel_ml = float(np.prod(geometry.spacing_mm)) / MM3_PER_ML
    masks = {region.name: region_mask(classes, region) for region in info.regions}
    return {name: np.count_nonzero(mask) * voxel_ml for name, mask in masks.items()}
