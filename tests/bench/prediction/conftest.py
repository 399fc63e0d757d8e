"""Networks that need no training: logits follow from the intensity of the first channel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.prediction.networks import Chosen, Networks
from bench.run.delta_file import DeltaHeader
from bench.specs.run import RunSpec
from datasets.brats import Brats


def make_chosen(spec: RunSpec, run_id: str = "first", **info: object) -> Chosen:
    """Return a run by what its folder would say."""
    from dataclasses import replace

    described = replace(Brats(spec.root).info, **info)
    return Chosen(Path(run_id), DeltaHeader(run_id, spec, described, "", "", f"sha of {run_id}"))


@pytest.fixture
def make_networks(make_run: Callable[..., RunSpec]) -> Callable[..., Networks]:
    """Return a function that makes networks which call bright voxels tumour."""

    def make(*run_ids: str, min_vox: int = 0, shift: float = 0.0) -> Networks:
        def compute(image: np.ndarray) -> torch.Tensor:
            bright = torch.from_numpy(image[0]) - 1 + shift
            return torch.stack([-bright, -bright - 1, bright, -bright - 2])

        runs = tuple(make_chosen(make_run(), run_id) for run_id in run_ids or ("first",))
        return Networks(runs, (compute,) * len(runs), min_vox)

    return make
