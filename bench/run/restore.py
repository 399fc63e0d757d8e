"""From a run's folder back to its network: the backbone is built again, the delta goes on top."""

from dataclasses import replace
from pathlib import Path

import torch

from bench.models.compiled import uncompiled
from bench.models.delta import frozen_state, hash_tensors, load_delta
from bench.models.finite import is_finite
from bench.models.segmenter import Segmenter
from bench.run.delta_file import DeltaError, DeltaHeader, read_delta
from bench.run.network import build
from bench.scoring.cases import NotFiniteError
from bench.specs.protocol import override
from bench.specs.run import Place, RunSpec
from methods.executed import set_execution
from methods.execution import Execution

# Largest difference of logits, relative to the largest logit. A CPU repeats bit for bit; other
# devices sum in another order, and round convolutions to TF32, to 10 bits.
TOLERANCE = {"cpu": 0.0}
TOLERANCE_ELSEWHERE = 1e-3


class ReloadError(RuntimeError):
    """The stored delta does not give the network that was trained."""


def load_run(
    folder: Path, device: str | torch.device, root: Path | None = None, weights: str | None = None
) -> tuple[RunSpec, Segmenter]:
    """Return the spec of a run and the network that it chose, in evaluation mode.

    ``root`` and ``weights`` are where the data and the file of weights are now, if they were moved.
    Raises: DeltaError if the delta is missing, damaged or of another format, or the backbone is
    another than the run's; ValueError if the weights cannot be had.
    """
    header, state = read_delta(folder)
    spec = replace(header.spec, root=root or header.spec.root)
    if weights is not None:
        spec = replace(spec, protocol=override(spec.protocol, f"model.weights={weights}"))
    # the delta holds the whole decoder: the run that it came from need not be there
    model = _build(folder, header, replace(spec, weights_sha256="", donor=None))
    load_delta(model, state)
    found, expected = hash_tensors(frozen_state(model)), header.frozen_sha256
    if found != expected:
        raise DeltaError(
            f"delta: {folder} belongs to a backbone whose frozen tensors hash to {expected[:12]}, "
            f"got {found[:12]} (another version of torch or timm?)"
        )
    return spec, model.to(device).eval()


def compare_reloaded(
    trained: Segmenter, place: Place, in_channels: int, execution: Execution
) -> tuple[float, float]:
    """Return the largest difference of logits between a network and its run's folder, and a scale.

    Both networks see one patch of noise, computed as ``execution`` asks and without a compiler. The
    scale is the largest absolute logit of the trained network, which is left in evaluation mode.
    Raises: NotFiniteError if its logits are not finite.
    """
    spec, restored = load_run(place.folder, place.device)
    set_execution(restored, execution)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, in_channels, *spec.protocol.data.patch, generator=generator)
    patch = noise.to(place.device)
    # not around the loading: kernels round otherwise for weights that were made in this mode
    with torch.inference_mode(), uncompiled(trained):
        logits, again = trained.eval()(patch), restored(patch)
    if not is_finite(logits):
        raise NotFiniteError("the trained network's logits are not finite for a patch of noise")
    return float((logits - again).abs().max()), float(logits.abs().max())


def check_reloaded(difference: float, largest: float, device: torch.device) -> None:
    """Raise ReloadError for nan, or a difference that the device's arithmetic does not explain."""
    # logits reach 10^4 after a few training steps, where a GPU rounds 0.1
    if not difference <= TOLERANCE.get(device.type, TOLERANCE_ELSEWHERE) * largest:
        raise ReloadError(
            "reload: the stored delta must give the logits of the trained network, which reach "
            f"{largest:g}, got a difference of {difference:g}"
        )


def _build(folder: Path, header: DeltaHeader, spec: RunSpec) -> Segmenter:
    expected = header.weights_sha256

    def check_weights(model: Segmenter) -> None:
        if model.weights_sha256 != expected:
            raise DeltaError(
                f"delta: {folder} was trained on weights with SHA-256 {expected[:12] or 'none'}, "
                f"got {model.weights_sha256[:12] or 'none'} from '{spec.protocol.model.weights}'"
            )

    return build(spec, header.dataset, check_weights)
