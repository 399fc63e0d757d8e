"""What every method promises: each check puts the method into a small backbone and names a fault.

`bench check` runs them on a user's own method, and the contract tests on all registered ones.
"""

import copy
import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

import torch
from torch import nn
from torch.nn import functional as F

import methods
from bench.models import registry
from bench.models.backbones.info import Blueprint
from bench.models.build import Patch, build_segmenter
from bench.models.delta import copy_tensors, delta_state, load_delta
from bench.models.finite import is_finite, shorten_names
from bench.models.hooks import Hooks
from bench.models.segmenter import Segmenter, apply_method, random_stream
from bench.models.selection import run_selection
from methods import surgery
from methods.base import Method, find_sites
from methods.settings import SpecError
from methods.sites import Role, locate_parameters

DEPTH, CHANNELS, CLASSES = 3, 2, 3
LAST_BLOCK = "last_1"
SELECTION_BATCHES = 2  # for methods that choose by gradients
LEARNING_RATE, WEIGHT_DECAY = 1e-2, 0.1  # large, so that everything that may move does
Tensors = Mapping[str, torch.Tensor]
Gradients = dict[str, torch.Tensor | None]  # by trained tensor; None: autograd gave none


@dataclass(frozen=True)
class Subject:
    """A method on a backbone with random weights; every network is a copy."""

    method: Method
    backbone: str = "tiny_vit"

    @property
    def patch(self) -> Patch:
        size = max(32, 2 * registry.get(self.backbone).multiple_of)
        return DEPTH, size, size

    def build_plain(self) -> Segmenter:
        return copy.deepcopy(_build_plain(self.backbone, self.patch))

    def build_tuned(self, seed: int = 0) -> Segmenter:
        """Return the network with the method in it; the seed decides how the method starts."""
        model = self.build_plain()
        self.apply_to(model, seed)
        return model

    def apply_to(self, model: Segmenter, seed: int = 0) -> None:
        """Put the method into a network that `build_plain` has made, and let it choose."""
        apply_method(model, self.method, seed)
        with random_stream(seed, "selection"):
            losses = islice(iter_losses(model.train(), self.make_volume()), SELECTION_BATCHES)
            run_selection(model, losses)

    def make_volume(self) -> torch.Tensor:
        """Return two volumes (B, C, D, H, W), always the same."""
        return torch.randn(2, CHANNELS, *self.patch, generator=torch.Generator().manual_seed(5))


Promise = Callable[[Subject], str | None]  # what is wrong, in one sentence; None if nothing is


@lru_cache(maxsize=2)
def _build_plain(name: str, patch: Patch) -> Segmenter:
    blueprint = Blueprint(name)
    return build_segmenter(blueprint, in_channels=CHANNELS, n_classes=CLASSES, patch=patch, seed=0)


@torch.no_grad()
def predict(model: Segmenter, volume: torch.Tensor) -> torch.Tensor:
    """Return the logits in evaluation mode."""
    return model.eval()(volume)


def train(model: Segmenter, volume: torch.Tensor, n_steps: int) -> list[Gradients]:
    """Take steps on random labels; return the gradients of what is tuned, step by step."""
    losses, hooks = iter_losses(model, volume), Hooks(model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    model.train()
    history: list[Gradients] = []
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss = hooks.add_losses(next(losses))
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
        tuned = model.tuned_parameters()
        # the next step makes new gradients, so these need no copy
        history.append({name: parameter.grad for name, parameter in tuned.items()})
        optimizer.step()
        hooks.after_step(LEARNING_RATE)
    return history


def iter_losses(model: Segmenter, volume: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the loss on random labels again and again, each of the model as it then is."""
    generator = torch.Generator().manual_seed(1)
    target = torch.randint(CLASSES, (len(volume), *volume.shape[2:]), generator=generator)
    while True:
        yield F.cross_entropy(model(volume), target)


def check_identity(subject: Subject) -> str | None:
    """Step 0: the output equals the frozen network's bit for bit if declared, else it differs."""
    volume = subject.make_volume()
    frozen = predict(subject.build_plain(), volume)
    tuned = predict(subject.build_tuned(), volume)
    if not is_finite(tuned):
        return "the logits at step 0 are not finite"
    difference = float((tuned - frozen).abs().max())
    declared = subject.method.starts_as_identity()
    if declared and not torch.equal(tuned, frozen):
        return f"declared the identity, but step 0 differs by {difference:.1e}"
    if not declared and difference <= 1e-4 * float(frozen.std()):
        return f"not declared the identity, but step 0 differs by {difference:.1e} only"
    return None


def check_count(subject: Subject) -> str | None:
    """Exactly what the method inserts trains, and it is as much as the closed form says."""
    model = subject.build_plain()
    expected = subject.method.expected_tuned(model.backbone)
    before = _names_by_id(model.backbone)
    apply_method(model, subject.method, seed=0)
    after = _names_by_id(model.backbone)
    lost = before.keys() - after.keys()
    if lost:
        return _say("the backbone has lost", map(before.__getitem__, lost))
    trained = set(map(id, model.tuned_parameters().values()))
    inserted = after.keys() - before.keys()
    thawed = set() if subject.method.tunes_backbone else trained - inserted
    if thawed:
        return _say("of the frozen backbone, these train:", map(after.__getitem__, thawed))
    if inserted - trained:
        return _say("these do not train:", map(after.__getitem__, inserted - trained))
    counted = sum(parameter.numel() for parameter in model.tuned_parameters().values())
    if counted != expected:
        return f"trains {counted} parameters, its closed form says {expected}"
    return None


def check_frozen(subject: Subject) -> str | None:
    """Three steps with weight decay leave every frozen parameter and buffer bit-identical."""
    model = subject.build_plain()
    tensors = dict([*model.backbone.named_parameters(), *model.backbone.named_buffers()])
    subject.apply_to(model)
    tensors = {name: tensor for name, tensor in tensors.items() if not tensor.requires_grad}
    before = copy_tensors(tensors)
    train(model, subject.make_volume(), 3)
    moved = _find_changed(tensors, before)
    return _say("training changed what is frozen:", moved) if moved else None


def check_gradients(subject: Subject) -> str | None:
    """Every trained tensor gets a finite gradient and moves; each declared exception exists."""
    method, model = subject.method, subject.build_tuned()
    start = copy_tensors(model.tuned_parameters())
    history = train(model, subject.make_volume(), 3)
    declared = [*method.no_gradient(), *method.late_gradient()]
    unused = [pattern for pattern in declared if not fnmatch.filter(start, pattern)]
    if unused:
        return _say("declared exceptions match nothing:", unused)
    moved = _find_changed(model.tuned_parameters(), start)
    for name in start:
        fault = _judge(name, [step[name] for step in history], name in moved, method)
        if fault:
            return fault
    return None


def check_distinct(subject: Subject) -> str | None:
    """No registered method trains the same tensors under the same names."""
    own = _fingerprint(subject)
    for name in methods.names():
        other = Subject(methods.build(name), subject.backbone)
        is_same = type(other.method) is type(subject.method)
        is_same |= other.method.info.from_scratch != subject.method.info.from_scratch
        if not is_same and _hosts(other) and _fingerprint(other) == own:
            return f"trains the same tensors as {name}"
    return None


def check_placement(subject: Subject) -> str | None:
    """In the last block alone, nothing in front of it trains; as many as the closed form says."""
    try:
        placed = replace(subject.method, blocks=LAST_BLOCK)
    except SpecError:
        return None  # nothing of it has a place in a block
    model = subject.build_plain()
    expected = placed.expected_tuned(model.backbone)
    n_blocks = len(find_sites(model.backbone, Role.BLOCK))
    apply_method(model, placed, seed=0)
    found = [each for each in locate_parameters(model.backbone) if each[1].requires_grad]
    outside = [name for name, _, index in found if index < n_blocks - 1]
    if outside:
        return _say(f"with blocks={LAST_BLOCK}, these train:", outside)
    counted = sum(parameter.numel() for _, parameter, _ in found)
    if counted != expected:
        return f"with blocks={LAST_BLOCK}, trains {counted}, its closed form says {expected}"
    return None


def check_delta(subject: Subject) -> str | None:
    """The delta of the trained network restores it bit for bit onto another random start."""
    model, volume = subject.build_tuned(), subject.make_volume()
    train(model, volume, 2)
    fresh = subject.build_tuned(seed=9)
    if torch.equal(predict(fresh, volume), predict(model, volume)):
        return "training does not change the output"
    load_delta(fresh, delta_state(model))
    difference = float((predict(fresh, volume) - predict(model, volume)).abs().max())
    return f"the reloaded network differs by {difference:.1e}" if difference else None


def check_merge(subject: Subject) -> str | None:
    """Merging changes weights where declared, not the output (1e-5), and is undone bit for bit."""
    model, volume = subject.build_tuned(), subject.make_volume()
    train(model, volume, 2)
    separate = predict(model, volume)
    before = copy_tensors(model.backbone.state_dict())
    surgery.merge(model.backbone)
    surgery.merge(model.backbone)  # a second call does nothing
    merged = predict(model, volume)
    changed = _find_changed(model.backbone.state_dict(), before)
    surgery.unmerge(model.backbone)
    if subject.method.info.mergeable and not changed:
        return "declared mergeable, but nothing merges"
    if changed and not subject.method.info.mergeable:
        return "not declared mergeable, but merges"
    if not torch.allclose(merged, separate, rtol=1e-4, atol=1e-5):
        return f"merging changes the output by {float((merged - separate).abs().max()):.1e}"
    left = _find_changed(model.backbone.state_dict(), before)
    return _say("after merging and unmerging, these differ:", left) if left else None


PROMISES: dict[str, Promise] = {
    "step 0": check_identity,
    "tuned parameters": check_count,
    "frozen stays frozen": check_frozen,
    "gradients": check_gradients,
    "distinct": check_distinct,
    "placement": check_placement,
    "delta round trip": check_delta,
    "merge": check_merge,
}


def _judge(
    name: str, gradients: list[torch.Tensor | None], moved: bool, method: Method
) -> str | None:
    """Return what is wrong with one tensor's gradients at the steps of a training."""
    found = [gradient for gradient in gradients if gradient is not None]
    if _matches(name, method.no_gradient()):
        return f"{name} is declared to get no gradient, but does" if found or moved else None
    if not all(bool(gradient.isfinite().all()) for gradient in found):
        return f"the gradient of {name} is not finite"
    if _matches(name, method.rare_gradient()):
        return None
    if len(found) < len(gradients) or not found[-1].any():
        return f"no gradient reaches {name}"
    is_late = _matches(name, method.late_gradient())
    if is_late == bool(found[0].any()):
        start = f"the gradient of {name} at the first step is declared"
        return f"{start} {'zero' if is_late else 'not zero'}, but is the opposite"
    return None if moved else f"{name} does not move"


@lru_cache(maxsize=256)
def _fingerprint(subject: Subject) -> frozenset[tuple[str, tuple[int, ...]]]:
    model = subject.build_plain()
    apply_method(model, subject.method, seed=0)
    tuned = model.tuned_parameters()
    return frozenset((name, tuple(parameter.shape)) for name, parameter in tuned.items())


def _hosts(subject: Subject) -> bool:
    offered = {site.role for site in subject.build_plain().backbone.sites}
    return set(subject.method.needed_roles()) <= offered


def _names_by_id(module: nn.Module) -> dict[int, str]:
    return {id(parameter): name for name, parameter in module.named_parameters()}


def _find_changed(tensors: Tensors, before: Tensors) -> list[str]:
    return [name for name, tensor in tensors.items() if not torch.equal(tensor, before[name])]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _say(what: str, names: Iterable[str]) -> str:
    return f"{what} {shorten_names(sorted(names))}"
