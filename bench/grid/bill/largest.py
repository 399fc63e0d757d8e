"""The largest patch, and the largest batch, whose training step fits into a device's memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench.models import registry
from bench.models.backbones.info import NONE
from bench.run.chunks.estimate import MARGIN, Shape, estimate_step
from bench.specs.run import RunSpec
from datasets.base import DatasetInfo
from methods.base import MissingRole
from methods.execution import Execution

STEP, LARGEST = 16, 512  # voxels of a patch in a slice
MOST_BATCH = 4096


@dataclass(frozen=True)
class Largest:
    """What fits.

    Attributes:
        patch: the largest in the proportions of the protocol's, with its batch; None: none fits.
        patch_mib: what a step then takes.
        batch: the largest with the protocol's patch; 0: not even one.
        reason: why the method cannot be built.
    """

    patch: Shape | None = None
    patch_mib: float | None = None
    batch: int = 0
    batch_mib: float | None = None
    reason: str = ""


def find_largest(spec: RunSpec, info: DatasetInfo, execution: Execution, limit: int) -> Largest:
    """Return the largest patch and the largest batch of a run that fit into ``limit`` bytes."""
    protocol = spec.own_protocol
    batch = protocol.train.batch

    def measure(patch: Shape, n_patches: int) -> float:
        return MARGIN * estimate_step(spec, info, execution, patch, n_patches)

    try:
        patches = list_patches(spec)
        number = find_last(len(patches), lambda index: measure(patches[index], batch) <= limit)
        n_patches = _find_batch(lambda size: measure(protocol.data.patch, size), limit)
    except MissingRole as error:
        return Largest(reason=str(error))
    found = Largest(batch=n_patches)
    if number is not None:
        patch_mib = measure(patches[number], batch) / 2**20
        found = replace(found, patch=patches[number], patch_mib=patch_mib)
    if n_patches:
        found = replace(found, batch_mib=measure(protocol.data.patch, n_patches) / 2**20)
    return found


def list_patches(spec: RunSpec) -> list[Shape]:
    """Return the patches in the proportions of the protocol's that the network takes."""
    protocol = spec.protocol
    depth, height, width = protocol.data.patch
    patches = []
    for side in range(STEP, LARGEST + 1, STEP):
        other = max(STEP, round(side * width / height / STEP) * STEP)
        patch = (max(1, round(depth * side / height)), side, other)
        if spec.method.is_reference or _fits(spec, patch):
            patches.append(patch)
    return patches


def find_last(n_items: int, holds: Callable[[int], bool]) -> int | None:
    """Return the last index for which a rule holds that holds up to some index; None: for none."""
    low, high = -1, n_items
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low if low >= 0 else None


def _find_batch(measure: Callable[[int], float], limit: int) -> int:
    """Return the largest batch; a step grows by the same amount with each patch."""
    one, two = measure(1), measure(2)
    if one > limit:
        return 0
    guess = 1 + int((limit - one) // max(1.0, two - one))
    while guess > 1 and measure(min(guess, MOST_BATCH)) > limit:
        guess -= 1
    return min(guess, MOST_BATCH)


def _fits(spec: RunSpec, patch: Shape) -> bool:
    model = spec.protocol.model
    try:
        registry.check_fit(model.backbone, NONE, patch[1:])
    except ValueError:
        return False
    return True


def list_methods(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """Return a run of each method and data set."""
    first: dict[tuple[str, str], RunSpec] = {}
    for spec in specs:
        first.setdefault((spec.dataset, str(spec.method)), spec)
    return list(first.values())
