"""From a network and a whole volume to its class map: sliding windows, averaged over flips."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from lightning_fabric import Fabric
from monai.inferers import sliding_window_inference
from torch import nn

from bench.scoring.cases import Predict
from bench.specs.protocol import EvalSpec

# sets of the axes D, H, W of (B, K, D, H, W)
MIRRORS = [list(axes) for count in range(4) for axes in combinations((2, 3, 4), count)]


def build_predictor(
    model: nn.Module, patch: tuple[int, int, int], spec: EvalSpec, fabric: Fabric
) -> Predict:
    """Return a function from an image (C, D, H, W) to its class map (D, H, W), uint8.

    It uses the model as it then is. Windows overlap by ``spec.overlap`` and are blended with
    Gaussian weights (nnU-Net); with ``spec.flips`` the logits are averaged over the 8 mirrored
    volumes (as Med-Tuning does when testing). The sum stays in host memory.
    """

    def predict_window(window: torch.Tensor) -> torch.Tensor:
        with fabric.autocast():
            logits = model(window)
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
