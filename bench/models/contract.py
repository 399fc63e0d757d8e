"""What every method promises: each check puts the method into a small backbone and names a fault.

`bench check` runs them on a user's own method, and the contract tests on all registered ones.
"""

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

import torch
from torch import nn

import methods
from bench.models.delta import copy_tensors, delta_state, load_delta
from bench.models.finite import is_finite, shorten_names
from bench.models.segmenter import apply_method
from bench.models.subject import CHANNELS, Gradients, Subject, iter_losses, predict, train
from methods import surgery
from methods.base import Method, Switchable, find_sites
from methods.settings import SpecError
from methods.sites import Role, locate_parameters

__all__ = ["CHANNELS", "PROMISES", "Gradients", "Subject", "iter_losses", "predict", "train"]

LAST_BLOCK = "last_1"
NOISE = 0.1  # large against what starts at zero
Tensors = Mapping[str, torch.Tensor]
Promise = Callable[[Subject], str | None]  # what is wrong, in one sentence; None if nothing is


def check_identity(subject: Subject) -> str | None:
    """Step 0: the output is the frozen network's if declared, else it differs.

    It is so bit for bit, or within the method's declared tolerance.
    """
    volume = subject.make_volume()
    frozen = predict(subject.build_plain(), volume)
    tuned = predict(subject.build_tuned(), volume)
    if not is_finite(tuned):
        return "the logits at step 0 are not finite"
    difference = float((tuned - frozen).abs().max())
    declared = subject.method.starts_as_identity()
    allowed = subject.method.info.identity_tolerance * float(frozen.abs().max())
    if declared and difference > allowed:
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


def check_effect(subject: Subject) -> str | None:
    """Each inserted layer that can be switched off changes the output, once it is off its start."""
    model, volume = subject.build_tuned(), subject.make_volume()
    layers = [each for each in model.backbone.named_modules() if isinstance(each[1], Switchable)]
    if not layers:
        return None
    generator = torch.Generator().manual_seed(2)
    for parameter in model.tuned_parameters().values():
        parameter.data.add_(NOISE * torch.randn(parameter.shape, generator=generator))
    perturbed = predict(model, volume)
    idle = []
    for name, layer in layers:
        with layer.switched_off():
            if torch.equal(predict(model, volume), perturbed):
                idle.append(name)
    return _say("perturbed, these do not change the output:", idle) if idle else None


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
    """Merging changes weights where declared, not the output, and is undone bit for bit.

    Rounding may change it by 1e-5, or by as much of the largest logit if that is above 1.
    """
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
    rounding = 1e-5 * max(1.0, float(separate.abs().max()))
    if not torch.allclose(merged, separate, rtol=1e-4, atol=rounding):
        return f"merging changes the output by {float((merged - separate).abs().max()):.1e}"
    left = _find_changed(model.backbone.state_dict(), before)
    if left:
        return _say("after merging and unmerging, these differ:", left)
    is_back = torch.equal(predict(model, volume), separate)
    return None if is_back else "after merging and unmerging, the output differs"


PROMISES: dict[str, Promise] = {
    "step 0": check_identity,
    "tuned parameters": check_count,
    "frozen stays frozen": check_frozen,
    "gradients": check_gradients,
    "effect": check_effect,
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
    try:
        with torch.device("meta"):  # names and shapes are all that is asked for
            tuned = subject.outline().tuned_parameters()
    except (RuntimeError, TypeError, ValueError):  # a method that looks at numbers
        model = subject.build_plain()
        apply_method(model, subject.method, seed=0)
        tuned = model.tuned_parameters()
    return frozenset((name, tuple(parameter.shape)) for name, parameter in tuned.items())


def _hosts(subject: Subject) -> bool:
    return set(subject.method.needed_roles()) <= subject.offered_roles


def _names_by_id(module: nn.Module) -> dict[int, str]:
    return {id(parameter): name for name, parameter in module.named_parameters()}


def _find_changed(tensors: Tensors, before: Tensors) -> list[str]:
    return [name for name, tensor in tensors.items() if not torch.equal(tensor, before[name])]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _say(what: str, names: Iterable[str]) -> str:
    return f"{what} {shorten_names(sorted(names))}"
