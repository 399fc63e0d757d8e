"""What is known of a type of tuner: its paper, its settings, its size and how it starts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from methods.base import Family
from methods.settings import RATE, Value, above, at_least, setting
from methods.sites import Role

Settings = Mapping[str, Value]
Shapes = Sequence[tuple[int, int]]  # (inputs, outputs) of each adapted layer
Count = Callable[[Settings, Shapes], int]  # how many parameters train
Rates = tuple[float, float]  # lowest and highest learning rate that tuning tries

NORMS = (Role.NORM1, Role.NORM2, Role.MERGE_NORM, Role.FINAL_NORM)
PLACEMENTS: dict[str, tuple[Role, ...]] = {
    "qkv": (Role.QKV,),
    "qkvo": (Role.QKV, Role.PROJ),
    "mlp": (Role.FC1, Role.FC2),
    "all": (Role.QKV, Role.PROJ, Role.FC1, Role.FC2),
    "qkv_fc2": (Role.QKV, Role.FC2),
}
USUAL: Rates = (1e-4, 1e-2)
LARGE: Rates = (1e-3, 1e-1)  # where few numbers are trained, or they are scaled down
STARTS_AT_ZERO = "its update starts at zero"
ROUNDING = 1e-4  # of the largest logit: a product that is the identity but for rounding
NEARLY = 1e-2


@dataclass(frozen=True)
class Tuner:
    """A type of tuner that works on vision layers.

    Attributes:
        peft: peft's name of the type.
        count: the closed form.
        settings: those that can be given, by peft's names, as made by `setting`.
        fixed: fields of peft's configuration that are set and cannot be given.
        roles: where it is put; None: what the setting ``placement`` says.
        placement: the default of that setting.
        rates: the range of learning rates that tuning tries.
        tolerance: largest difference at step 0, of the largest logit; None: not the identity.
        late: tensors (`fnmatch`) whose first gradient is zero.
        rare: tensors (`fnmatch`) that may get no gradient, with the reason.
        companion: "module:class" of what acts beside the layers; it takes peft's model.
        find_fault: what is wrong with settings that do not go together, "" if nothing is.
    """

    name: str
    title: str
    paper: str
    url: str
    year: int
    peft: str
    count: Count
    settings: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    family: Family = Family.LOW_RANK
    roles: tuple[Role, ...] | None = None
    placement: str = "qkv"
    rates: Rates = USUAL
    tolerance: float | None = 0.0
    start: str = STARTS_AT_ZERO
    mergeable: bool = True
    late: tuple[str, ...] = ()
    rare: Mapping[str, str] = field(default_factory=dict)
    companion: str = ""
    find_fault: Callable[[Settings], str] = lambda settings: ""


def rank(default: int, *choices: int, name: str = "r") -> dict[str, Any]:
    """Return the setting of a rank."""
    return {name: setting(default, "rank", at_least(1), choices)}


def whole(name: str, default: int, help: str, *choices: int) -> dict[str, Any]:
    """Return a setting that is a positive whole number."""
    return {name: setting(default, help, at_least(1), choices)}


def scale(name: str, default: float, help: str, *choices: float) -> dict[str, Any]:
    """Return a setting that is a positive number."""
    return {name: setting(default, help, above(0), choices)}


def seed(name: str, default: int = 0) -> dict[str, Any]:
    """Return the setting of a seed."""
    return {name: setting(default, "seed of what is random and frozen", at_least(0))}


def dropout(name: str) -> dict[str, Any]:
    """Return the setting of a dropout."""
    return {name: setting(0.0, "dropout of the layer's input", RATE, (0.0, 0.1))}


def number(settings: Settings, name: str) -> int:
    """Return a setting that is a whole number."""
    return int(settings[name])


def count_each(one: Callable[[Settings, int, int], int]) -> Count:
    """Return the closed form of layers that share nothing: the sum of ``one(s, in, out)``."""
    return lambda settings, shapes: sum(one(settings, *shape) for shape in shapes)


def count_low_rank(name: str = "r", times: int = 1) -> Count:
    """Return ``times * rank * (inputs + outputs)`` for each layer."""
    return count_each(lambda given, n_in, n_out: times * number(given, name) * (n_in + n_out))
