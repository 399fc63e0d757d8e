"""From a folder back to the network that the run trained: its backbone is built again, the stored delta goes on top."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from bench.models.delta import frozen_state, hash_tensors, load_delta
from bench.models.segmenter import Segmenter
from bench.run.delta_file import DeltaError, DeltaHeader, read_delta
from bench.run.network import build
from bench.specs.run import Place, RunSpec
from methods.executed import set_execution

TOLERANCE = {"cpu": 0.0}  # of the logits, relative to the largest; a CPU repeats bit for bit
TOLERANCE_ELSEWHERE = (
    1e-3  # other devices sum in another order, and round convolutions to TF32, to 10 bits
)


class ReloadError(RuntimeError):
    """The stored delta does not give the network that was trained."""


def load_run(
    folder: Path, device: str | torch.device, root: Path | None = None, weights: str | None = None
) -> tuple[RunSpec, Segmenter]:
    """Return the spec of a run and the network that it chose, in evaluation mode.

    Args:
        folder: of the run; only ``delta.safetensors`` is read.
        root: where the data lie now, if no longer where the run found them.
        weights: where the file of pre-trained weights lies now, if no longer where the run found
        it.

    Raises: DeltaError if the delta is missing, damaged or of another format, or if what the
    backbone is built from is
        not what the run had; ValueError if the pre-trained weights cannot be had.
    """
    header, state = read_delta(folder)
    spec = replace(header.spec, root=root or header.spec.root)
    if weights is not None:
        spec = replace(
            spec,
            protocol=replace(spec.protocol, model=replace(spec.protocol.model, weights=weights)),
        )
    model = _build(folder, header, replace(spec, weights_sha256=""))
    load_delta(model, state)
    found = hash_tensors(frozen_state(model))
    if found != header.frozen_sha256:
        raise DeltaError(
            f"delta: {folder} belongs to a backbone whose frozen tensors hash to {header.frozen_sha256[:12]}, got "
            f"{found[:12]} (another version of torch or timm?)"
        )
    return spec, model.to(device).eval()


@torch.inference_mode()
def compare_reloaded(trained: Segmenter, place: Place, in_channels: int) -> tuple[float, float]:
    """Return the largest difference of logits between a trained network and what its run's folder restores to.

    The second number is the trained network's largest logit, without its sign. They see one patch
    of noise. The trained network is left in evaluation mode.
    """
    spec, restored = load_run(place.folder, place.device)
    set_execution(restored, place.execution)
    noise = torch.randn(
        1, in_channels, *spec.protocol.data.patch, generator=torch.Generator().manual_seed(0)
    )
    patch = noise.to(place.device)
    logits = trained.eval()(patch)
    return float((logits - restored(patch)).abs().max()), float(logits.abs().max())


def check_reloaded(difference: float, largest: float, device: torch.device) -> None:
    """Raise ReloadError if logits up to ``largest`` differ by more than the device's arithmetic explains; by nan, too.

    Logits have no scale of their own: after a few training steps they reach 10^4, where a GPU's
    rounding is 0.1.
    """
    if not difference <= TOLERANCE.get(device.type, TOLERANCE_ELSEWHERE) * largest:
        raise ReloadError(
            f"reload: the stored delta must give the logits of the trained network, which reach {largest:g}, "
            f"got a difference of {difference:g}"
        )


def _build(folder: Path, header: DeltaHeader, spec: RunSpec) -> Segmenter:
    def check_weights(model: Segmenter) -> None:
        loaded = model.backbone.loaded
        found = loaded.sha256 if loaded else ""
        if found != header.weights_sha256:
            wanted = header.weights_sha256[:12] or "none"
            raise DeltaError(
                f"delta: {folder} was trained on weights with SHA-256 {wanted}, "
                f"got {found[:12] or 'none'} from '{spec.protocol.model.weights}'"
            )

    return build(spec, header.dataset, check_weights)
