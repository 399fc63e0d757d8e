"""Segment arrays with the networks of runs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from bench.grid.slots import choose_slots
from bench.prediction.networks import Place, Segmentation, find_runs, load_networks, segment_case
from datasets.base import Case, SpacingMm
from medtuning_bench.place import as_program


class Segmenter:
    """The network of a run, or the mean of several, for arrays.

    An array is prepared as the cases of the run were: cropped, brought to its spacing, normalised.

    Attributes:
        channels: what the array must hold, in this order, such as t1, t1ce, t2, flair.
        classes: the names of the classes of a segmentation, background first.
        regions: the indices of the classes of each region, such as WT.
    """

    @as_program()
    def __init__(
        self,
        run: str | Path | Sequence[str | Path],
        *,
        out: str | Path = "results",
        device: str = "auto",
        data_root: str | Path | None = None,
        weights: str | None = None,
    ) -> None:
        """Load the network.

        Args:
            run: id of a run that is done, or its folder; several are an ensemble.
            out: where runs are kept.
            device: auto, cpu, cuda, cuda:1 or mps.
            data_root: where the run's data are now, if they were moved.
            weights: the file of pre-trained weights, if it was moved.

        Raises: ValueError in one sentence if a run or its weights cannot be had.
        """
        names = [run] if isinstance(run, str | Path) else list(run)
        runs = find_runs([str(each) for each in names], Path(out))
        root = Path(data_root) if data_root is not None else None
        place = Place(choose_slots(device, 1).devices[0], root, weights)
        self._networks = load_networks(runs, place)
        info = runs[0].info
        self.channels = info.channels
        self.classes = info.classes
        self.regions = {region.name: region.classes for region in info.regions}

    @as_program()
    def predict(self, volume: np.ndarray, spacing_mm: SpacingMm = (1.0, 1.0, 1.0)) -> np.ndarray:
        """Return the class of each voxel, uint8 (D, H, W).

        Args:
            volume: (C, D, H, W), or (D, H, W) for one channel; D from feet to head, H from back
                to front, W from left to right.
            spacing_mm: of the voxels, in the order (D, H, W).

        Raises: ValueError if shape, values or spacing do not fit.
        """
        return self._segment(volume, spacing_mm, probabilities=False).classes

    @as_program()
    def predict_probabilities(
        self, volume: np.ndarray, spacing_mm: SpacingMm = (1.0, 1.0, 1.0)
    ) -> np.ndarray:
        """Return the probability of each class, float16 (K, D, H, W); as `predict`."""
        found = self._segment(volume, spacing_mm, probabilities=True)
        assert found.probabilities is not None
        return found.frame.restore_probabilities(found.probabilities)

    def _segment(
        self, volume: np.ndarray, spacing_mm: SpacingMm, *, probabilities: bool
    ) -> Segmentation:
        channels = volume[None] if volume.ndim == 3 else volume
        if channels.ndim != 4 or len(channels) != len(self.channels):
            rule = f"must be (C, D, H, W) with the channels {', '.join(self.channels)}"
            raise ValueError(f"volume: {rule}, got the shape {volume.shape}")
        if len(spacing_mm) != 3 or not all(0 < each < np.inf for each in spacing_mm):
            raise ValueError(f"spacing_mm: must be three numbers above 0, got {spacing_mm}")
        with tempfile.TemporaryDirectory() as scratch:
            case = _write_case(channels, spacing_mm, self.channels, Path(scratch))
            return segment_case(self._networks, case, Path(scratch), probabilities=probabilities)


def _write_case(
    volume: np.ndarray, spacing_mm: SpacingMm, names: Sequence[str], folder: Path
) -> Case:
    """Write the channels of an array as NIfTI files, which are read like those of any case."""
    affine = np.diag([*reversed(spacing_mm), 1.0])
    images = {}
    for name, channel in zip(names, volume, strict=True):
        stored = np.asarray(channel, dtype=np.float32).transpose(2, 1, 0)
        images[name] = folder / f"{name}.nii"
        nib.save(nib.Nifti1Image(stored, affine), images[name])
    return Case("array", "array", images, None)
