"""What every reference network promises: each check builds it for a small patch and names a fault.

`bench check net:NAME` runs them, and the tests on all registered networks.
"""

from collections.abc import Callable

import torch

from bench.models.delta import copy_tensors, delta_state, frozen_state, load_delta
from bench.models.references.base import Reference, Shape, Task
from bench.models.references.network import WholeNetwork, build_network
from bench.models.subject import CHANNELS, CLASSES, predict, train

PATCH: Shape = (32, 32, 64)  # fits every network
ODD: Shape = (31, 37, 61)  # fits none
Promise = Callable[[Reference], str | None]  # what is wrong, in one sentence; None if nothing is


def build_for(reference: Reference, seed: int = 0, patch: Shape = PATCH) -> WholeNetwork:
    """Return the network for few channels and classes."""
    return build_network(reference, Task(CHANNELS, CLASSES, patch), seed)


def make_volume(patch: Shape = PATCH) -> torch.Tensor:
    """Return one volume (1, C, D, H, W), always the same."""
    return torch.randn(1, CHANNELS, *patch, generator=torch.Generator().manual_seed(5))


def check_output(reference: Reference) -> str | None:
    """The logits have the volume's size, one map a class, and are finite."""
    logits = predict(build_for(reference), make_volume())
    expected = (1, CLASSES, *PATCH)
    if logits.shape != expected:
        return f"logits must have the shape {expected}, got {tuple(logits.shape)}"
    return None if bool(logits.isfinite().all()) else "the logits are not finite"


def check_patch(reference: Reference) -> str | None:
    """A patch that does not fit is refused, or filled up where ``pad`` asks for it."""
    if not reference.pad:
        try:
            build_for(reference, patch=ODD)
        except ValueError:
            return None
        return f"takes a patch of {ODD}, but declares the rule: {reference.info.size_rule}"
    shape = predict(build_for(reference, patch=ODD), make_volume(ODD)).shape[2:]
    return None if shape == ODD else f"logits must have the size {ODD}, got {tuple(shape)}"


def check_whole(reference: Reference) -> str | None:
    """Every parameter trains, and nothing is left outside the delta."""
    model = build_for(reference)
    frozen = [name for name, each in model.named_parameters() if not each.requires_grad]
    left = sorted({*frozen, *frozen_state(model)})
    return f"these do not train: {', '.join(left[:3])}" if left else None


def check_gradients(reference: Reference) -> str | None:
    """Every parameter gets a finite gradient and moves within three steps."""
    model = build_for(reference)
    start = copy_tensors(model.tuned_parameters())
    last = train(model, make_volume(), 3)[-1]
    for name, parameter in model.tuned_parameters().items():
        gradient = last[name]
        if gradient is None or not gradient.any():
            return f"no gradient reaches {name}"
        if not gradient.isfinite().all():
            return f"the gradient of {name} is not finite"
        if torch.equal(parameter, start[name]):
            return f"{name} does not move"
    return None


def check_delta(reference: Reference) -> str | None:
    """The delta of the trained network restores it bit for bit onto another random start."""
    model, volume = build_for(reference), make_volume()
    train(model, volume, 2)
    fresh = build_for(reference, seed=9)
    trained = predict(model, volume)
    if torch.equal(predict(fresh, volume), trained):
        return "training does not change the output"
    load_delta(fresh, delta_state(model))
    difference = float((predict(fresh, volume) - trained).abs().max())
    return f"the reloaded network differs by {difference:.1e}" if difference else None


def check_seed(reference: Reference) -> str | None:
    """Equal seeds give equal weights, others give others; the global random state stays."""
    before = torch.get_rng_state()
    first, again, other = build_for(reference), build_for(reference), build_for(reference, seed=1)
    if not torch.equal(torch.get_rng_state(), before):
        return "building it moves the global random state"
    volume = make_volume()
    logits = predict(first, volume)
    if not torch.equal(predict(again, volume), logits):
        return "equal seeds give other weights"
    return "other seeds give equal weights" if torch.equal(predict(other, volume), logits) else None


PROMISES: dict[str, Promise] = {
    "output": check_output,
    "patch": check_patch,
    "everything trains": check_whole,
    "gradients": check_gradients,
    "delta round trip": check_delta,
    "seed": check_seed,
}
