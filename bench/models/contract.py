"""What every method promises, as checks: each puts the method into a small backbone and says what is wrong, if so.

`bench check` runs them on a user's own method, and the contract tests on all registered ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatch

import torch
from torch.nn import functional as F

import methods
from bench.models import registry
from bench.models.backbones.info import NONE
from bench.models.delta import delta_state, load_delta
from bench.models.segmenter import Segmenter, apply_method, build_segmenter
from methods import surgery
from methods.base import Method, MissingRole, apply

DEPTH, CHANNELS, CLASSES = 3, 2, 3
LEARNING_RATE, WEIGHT_DECAY = 1e-2, 0.1  # large, so that whatever may move does
Gradients = dict[
    str, torch.Tensor | None
]  # by the name of the trained tensor; None: autograd gave none


@dataclass(frozen=True)
class Subject:
    """A method on a backbone with random weights; every network is built anew."""

    method: Method
    backbone: str = "tiny_vit"

    def build_plain(self) -> Segmenter:
        """Return the network without the method, nothing frozen."""
        size = slice_size(self.backbone)
        patch = (DEPTH, size, size)
        return build_segmenter(
            self.backbone, "none", in_channels=CHANNELS, n_classes=CLASSES, patch=patch, seed=0
        )

    def build_tuned(self, seed: int = 0) -> Segmenter:
        """Return the network with the method in it, whose random start is the seed's."""
        model = self.build_plain()
        apply_method(model, self.method, seed)
        return model

    def make_volume(self) -> torch.Tensor:
        """Return two volumes (B, C, D, H, W), always the same."""
        size = slice_size(self.backbone)
        return torch.randn(
            2, CHANNELS, DEPTH, size, size, generator=torch.Generator().manual_seed(5)
        )


Check = Callable[[Subject], str | None]  # what is wrong, in one sentence; None if nothing is


def check_identity(subject: Subject) -> str | None:
    """Step 0: the output equals the frozen network's bit for bit where declared, and differs where not."""
    volume = subject.make_volume()
    frozen, tuned = predict(subject.build_plain(), volume), predict(subject.build_tuned(), volume)
    difference = float((tuned - frozen).abs().max())
    if subject.method.starts_as_identity():
        return (
            None
            if torch.equal(tuned, frozen)
            else f"declared the identity, but step 0 differs by {difference:.1e}"
        )
    if difference > 1e-3 * float(frozen.std()):
        return None
    return f"not declared the identity, but step 0 differs by {difference:.1e} only"


def check_count(subject: Subject) -> str | None:
    """Exactly what the method inserts trains, and it is as much as the closed form says."""
    model = subject.build_plain()
    expected = subject.method.expected_tuned(model.backbone)
    before = {id(parameter): name for name, parameter in model.backbone.named_parameters()}
    apply_method(model, subject.method, seed=0)
    after = {id(parameter): name for name, parameter in model.backbone.named_parameters()}
    if not before.keys() <= after.keys():
        return _say(
            "the backbone has lost", [name for key, name in before.items() if key not in after]
        )
    trained = {id(parameter) for parameter in model.tuned_parameters().values()}
    must = after.keys() if subject.method.info.tunes_backbone else after.keys() - before.keys()
    if trained - must:
        return _say("of the frozen backbone, these train:", [after[key] for key in trained - must])
    if must - trained:
        return _say("these do not train:", [after[key] for key in must - trained])
    counted = sum(parameter.numel() for parameter in model.tuned_parameters().values())
    return (
        None
        if counted == expected
        else f"trains {counted} parameters, its closed form says {expected}"
    )


def check_frozen(subject: Subject) -> str | None:
    """Three steps with weight decay leave every frozen parameter and buffer bit-identical."""
    if subject.method.info.tunes_backbone:
        return None
    model = subject.build_plain()
    tensors = {**dict(model.backbone.named_parameters()), **dict(model.backbone.named_buffers())}
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    apply_method(model, subject.method, seed=0)
    train(model, subject.make_volume(), 3)
    moved = [name for name, tensor in tensors.items() if not torch.equal(tensor, before[name])]
    return _say("training changed what is frozen:", moved) if moved else None


def check_gradients(subject: Subject) -> str | None:
    """Every trained tensor gets a finite gradient and moves, but for declared exceptions, which must exist."""
    method, model = subject.method, subject.build_tuned()
    start = {
        name: parameter.detach().clone() for name, parameter in model.tuned_parameters().items()
    }
    first, *later = train(model, subject.make_volume(), 3)
    unused = [
        pattern
        for pattern in (*method.no_gradient(), *method.late_gradient())
        if not any(fnmatch(name, pattern) for name in start)
    ]
    if unused:
        return _say("declared exceptions match nothing:", unused)
    for name, parameter in model.tuned_parameters().items():
        steps = [step[name] for step in (first, *later)]
        if _matches(name, method.no_gradient()):
            if any(step is not None for step in steps) or not torch.equal(parameter, start[name]):
                return f"{name} is declared to get no gradient, but does"
            continue
        found = [step for step in steps if step is not None]
        if len(found) < len(steps) or not found[-1].any():
            return f"no gradient reaches {name}"
        if not all(bool(step.isfinite().all()) for step in found):
            return f"the gradient of {name} is not finite"
        if bool(found[0].any()) == _matches(name, method.late_gradient()):
            declared = "zero" if _matches(name, method.late_gradient()) else "not zero"
            return f"the gradient of {name} at the first step is declared {declared}, but is the opposite"
        if torch.equal(parameter, start[name]):
            return f"{name} does not move"
    return None


def check_distinct(subject: Subject) -> str | None:
    """No registered method trains the same tensors under the same names."""
    own = _fingerprint(subject)
    for name in methods.names():
        other = Subject(methods.build(name), subject.backbone)
        if (
            type(other.method) is not type(subject.method)
            and _hosts(other)
            and _fingerprint(other) == own
        ):
            return f"trains the same tensors as {name}"
    return None


def check_delta(subject: Subject) -> str | None:
    """What a run saves of the trained network brings it back, bit for bit, onto another random start."""
    model, volume = subject.build_tuned(), subject.make_volume()
    train(model, volume, 2)
    fresh = subject.build_tuned(seed=9)
    if torch.equal(predict(fresh, volume), predict(model, volume)):
        return "training does not change the output"
    load_delta(fresh, delta_state(model))
    difference = float((predict(fresh, volume) - predict(model, volume)).abs().max())
    return f"the reloaded network differs by {difference:.1e}" if difference else None


def check_merge(subject: Subject) -> str | None:
    """Merging changes weights exactly where declared, not the output (1e-5), and is undone bit for bit."""
    model, volume = subject.build_tuned(), subject.make_volume()
    train(model, volume, 2)
    separate = predict(model, volume)
    weights = {name: tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    surgery.merge(model.backbone)
    surgery.merge(model.backbone)  # a second call does nothing
    merged, changed = predict(model, volume), _changed(model, weights)
    surgery.unmerge(model.backbone)
    if bool(changed) != subject.method.info.mergeable:
        return (
            "declared mergeable, but nothing merges"
            if not changed
            else "not declared mergeable, but merges"
        )
    if not torch.allclose(merged, separate, rtol=1e-4, atol=1e-5):
        return f"merging changes the output by {float((merged - separate).abs().max()):.1e}"
    left = _changed(model, weights)
    return _say("after merging and unmerging, these differ:", left) if left else None


CHECKS: dict[str, Check] = {
    "step 0": check_identity,
    "tuned parameters": check_count,
    "frozen stays frozen": check_frozen,
    "gradients": check_gradients,
    "distinct": check_distinct,
    "delta round trip": check_delta,
    "merge": check_merge,
}


@torch.no_grad()
def predict(model: Segmenter, volume: torch.Tensor) -> torch.Tensor:
    """Return the logits in evaluation mode."""
    logits: torch.Tensor = model.eval()(volume)
    return logits


def train(model: Segmenter, volume: torch.Tensor, n_steps: int) -> list[Gradients]:
    """Take steps on random labels; return the gradients of what trains in the backbone, step by step."""
    generator = torch.Generator().manual_seed(1)
    target = torch.randint(CLASSES, (len(volume), *volume.shape[2:]), generator=generator)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    model.train()
    history: list[Gradients] = []
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(volume), target)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
        tuned = model.tuned_parameters().items()
        history.append({name: None if p.grad is None else p.grad.clone() for name, p in tuned})
        optimizer.step()
    return history


def slice_size(backbone: str) -> int:
    """Return a small height and width, in voxels, that the backbone takes."""
    return max(32, 2 * registry.get(backbone).multiple_of)


def _fingerprint(subject: Subject) -> set[tuple[str, tuple[int, ...]]]:
    with torch.device("meta"):
        tuned = subject.build_tuned().tuned_parameters()
    return {(name, tuple(parameter.shape)) for name, parameter in tuned.items()}


def _hosts(subject: Subject) -> bool:
    offered = {site.role for site in subject.build_plain().backbone.sites}
    return set(subject.method.needed_roles()) <= offered


def _changed(model: Segmenter, before: dict[str, torch.Tensor]) -> list[str]:
    return [
        name
        for name, tensor in model.backbone.state_dict().items()
        if not torch.equal(tensor, before[name])
    ]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _say(what: str, names: list[str]) -> str:
    return f"{what} {', '.join(sorted(names)[:3])}" + (
        f" and {len(names) - 3} more" if len(names) > 3 else ""
    )


def check_methods(built: Iterable[Method], backbone_name: str, patch: tuple[int, int, int]) -> None:
    """Put every method into the backbone once, on torch's meta device: nothing is computed and no memory taken.

    A backbone without a place for a method is no error: that run ends as skipped, with the reason.
    Raises: ValueError with the method's own sentence if a setting does not fit the backbone.
    """
    depth, height, width = patch
    for method in built:
        with torch.device("meta"):
            backbone = registry.build(backbone_name, 3, (height, width), NONE)
            backbone.volume.depth = depth
            try:
                apply(method, backbone)
            except MissingRole:
                continue
