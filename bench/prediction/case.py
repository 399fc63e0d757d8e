"""Segment one case, and write the classes onto the case's own grid."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.prediction.networks import Chosen, Place, load_networks, segment_case
from bench.prediction.output import Prediction, name_probabilities, write_prediction
from datasets.base import DataError
from datasets.files import check_writable
from datasets.single_case import VOLUME, find_single_case


def predict_case(
    runs: Sequence[Chosen],
    inputs: Sequence[str],
    output: Path,
    place: Place,
    et_min_vox: int | None = None,
    *,
    probabilities: bool = False,
) -> Prediction:
    """Write the segmentation of a case by some runs' networks, in their data set's label values.

    The case is treated like the runs' own cases. The file has the grid and header of the case's
    first volume. ``inputs`` is as in `find_single_case`.
    Raises: DeltaError if a network cannot be restored; DataError if the case cannot be read, if
    a run chose a cutoff and its result is gone, or if an output exists or is no NIfTI file;
    NotFiniteError if a network's logits are not finite.
    """
    _check_output(output)
    if probabilities:
        _check_new(name_probabilities(output))
    root = place.root or runs[0].header.spec.root
    case = replace(find_single_case(runs[0].info, root, inputs, place.release), label=None)
    check_writable(output)
    networks = load_networks(runs, place, et_min_vox)
    with tempfile.TemporaryDirectory() as scratch:
        found = segment_case(networks, case, Path(scratch), probabilities=probabilities)
    return write_prediction(found, case, runs[0].info, output)


def _check_output(output: Path) -> None:
    if not output.name.endswith(VOLUME):
        hint = "or be a folder, for many cases"
        raise DataError(f"--output: must end in .nii or .nii.gz, {hint}, got {output}")
    _check_new(output)


def _check_new(output: Path) -> None:
    if output.exists():
        raise DataError(f"--output: {output} is there already (give another name, or delete it)")
