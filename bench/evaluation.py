"""From a trained model and whole volumes to scores: sliding windows, then one number per case x region."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import torch
from lightning_fabric import Fabric
from monai.inferers import sliding_window_inference
from torch import nn

from bench.metrics import Scoring, dice, region_mask, score_case
from bench.protocol import EvalSpec
from bench.results import CaseScore
from datasets.base import DatasetInfo
from datasets.prepared import PreparedCase

Predict = Callable[[np.ndarray], np.ndarray]

MIRRORS = [list(axes) for count in range(4) for axes in combinations((2, 3, 4), count)]  # axes of (B, K, D, H, W)


def build_predictor(model: nn.Module, patch: tuple[int, int, int], spec: EvalSpec, fabric: Fabric) -> Predict:
    """Return a function from an image (C, D, H, W) to its class map (D, H, W), uint8, by the model as it then is.

    Windows overlap by ``spec.overlap`` and are blended with Gaussian weights (nnU-Net); with ``spec.flips`` the logits
    are averaged over the 8 mirrored volumes (as Med-Tuning does when testing). The sum stays in host memory.
    """

    def predict_window(window: torch.Tensor) -> torch.Tensor:
        with fabric.autocast():
            logits: torch.Tensor = model(window)
        return logits.float()

    @torch.inference_mode()
    def predict(image: np.ndarray) -> np.ndarray:
        model.eval()
        volume = torch.from_numpy(np.asarray(image, dtype=np.float32))[None]
        total: torch.Tensor | None = None
        for axes in MIRRORS if spec.flips else MIRRORS[:1]:
            logits = sliding_window_inference(
                volume.flip(axes),
                roi_size=patch,
                sw_batch_size=1,
                predictor=predict_window,
                overlap=spec.overlap,
                mode="gaussian",
                sw_device=fabric.device,
                device=torch.device("cpu"),
            ).flip(axes)
            total = logits if total is None else total.add_(logits)
        assert total is not None
        return total[0].argmax(dim=0).to(torch.uint8).numpy()

    return predict


def score_cases(
    predict: Predict,
    cases: Sequence[PreparedCase],
    scoring: Scoring,
    on_case: Callable[[int, np.ndarray], None] = lambda done, prediction: None,
) -> list[CaseScore]:
    """Score every case on the grid of its file.

    ``on_case`` hears how many are done, and gets the newest class map (D, H, W) of the prepared shape.
    """
    scores: list[CaseScore] = []
    for number, case in enumerate(cases, start=1):
        prediction = predict(case.image())
        spacing_mm = case.spacing_mm if case.spacing_known else None
        restored = case.restore(prediction)
        scores += score_case(case.id, restored, np.asarray(case.reference()), spacing_mm, scoring)
        on_case(number, prediction)
    return scores


def score_overlaps(predict: Predict, cases: Sequence[PreparedCase], scoring: Scoring) -> list[CaseScore]:
    """Score every case without the slower distances, which are nan."""
    pairs = ((case, case.restore(predict(case.image())), np.asarray(case.reference())) for case in cases)
    return [
        row for case, predicted, reference in pairs for row in score_case(case.id, predicted, reference, None, scoring)
    ]


def mean_dices(predict: Predict, cases: Sequence[PreparedCase], info: DatasetInfo) -> tuple[float, ...]:
    """Return each case's Dice averaged over the regions, without the slower surface distances.

    This is for selection, on the prepared grid. It needs a number for every case: masks that are both empty agree (1),
    whatever the policy of the scores.
    """
    means = []
    for case in cases:
        predicted, reference = predict(case.image()), np.asarray(case.label())
        dices = [dice(region_mask(predicted, region), region_mask(reference, region)) for region in info.regions]
        means.append(float(np.mean(dices)))
    return tuple(means)
