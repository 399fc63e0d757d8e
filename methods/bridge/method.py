"""A type of peft as a method: a frozen record made from a row of the table."""

from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from functools import cache
from typing import Any, ClassVar

from torch import nn

from methods import surgery
from methods.base import Method, MethodInfo
from methods.bridge.layers import wrap_layers
from methods.bridge.registry import PREFIX, check_installed, find
from methods.bridge.types import PLACEMENTS, Tuner
from methods.settings import SpecError, one_of, setting, settings
from methods.sites import HasSites, Role, Site

OURS = ("blocks", "placement")  # settings that peft does not have


@dataclass(frozen=True)
class PeftMethod(Method):
    """A tuner of peft; each type is a subclass with its settings."""

    tuner: ClassVar[Tuner]

    def __post_init__(self) -> None:
        super().__post_init__()
        fault = self.tuner.find_fault(settings(self))
        if fault:
            raise SpecError(f"{self.info.name}: {fault}")

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles of the layers that are adapted."""
        fixed = self.tuner.roles
        return fixed if fixed is not None else PLACEMENTS[str(settings(self)["placement"])]

    def needed_roles(self) -> tuple[Role, ...]:
        optional = (Role.MERGE_NORM, Role.FINAL_NORM)
        return tuple(role for role in self.roles if role not in optional)

    def late_gradient(self) -> dict[str, str]:
        return dict.fromkeys(self.tuner.late, "what it is multiplied by starts at zero")

    def rare_gradient(self) -> Mapping[str, str]:
        return self.tuner.rare

    def inject(self, backbone: HasSites) -> None:
        """Raises: ValueError if a setting does not fit a layer: with peft's sentence, or if peft
        has silently taken another value, by which the number of parameters differs.
        """
        expected, sites = self.expected_tuned(backbone), self._find_layers(backbone)
        given = {key: value for key, value in settings(self).items() if key not in OURS}
        layers = wrap_layers(self.tuner, given, sites)
        tuned = {each for layer in layers for each in layer.parameters() if each.requires_grad}
        found = sum(parameter.numel() for parameter in tuned)
        if found != expected:
            rule = f"must train {expected:,} parameters by its closed form, got {found:,} in peft"
            hint = "a setting does not fit the layers"
            raise ValueError(f"{self.info.name}: {rule} ({hint})")
        for site, layer in zip(sites, layers, strict=True):
            surgery.replace(site, layer)

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return the closed form of the type over the adapted layers."""
        shapes = [_shape_of(site.module) for site in self._find_layers(backbone)]
        return self.tuner.count(settings(self), shapes)

    def _find_layers(self, backbone: HasSites) -> list[Site]:
        return self.find_sites(backbone, *self.roles)


@cache
def get(name: str) -> type[PeftMethod]:
    """Return the method of a type. Raises: ValueError if it is unknown or cannot be used."""
    tuner = find(name)
    check_installed(name)
    return make_record(tuner)


def make_record(tuner: Tuner) -> type[PeftMethod]:
    """Return the method of a type; the library is not needed for it."""
    own: dict[str, Any] = dict(tuner.settings)
    if tuner.roles is None:
        help = f"which layers: {', '.join(PLACEMENTS)}"
        own["placement"] = setting(tuner.placement, help, one_of(*PLACEMENTS))
    members = [(key, type(item.default), _copy(item)) for key, item in own.items()]
    info = _describe(tuner)
    kind = make_dataclass(
        f"Peft{tuner.title}",
        members,
        bases=(PeftMethod,),
        frozen=True,
        namespace={"info": info, "tuner": tuner, "__doc__": f"{tuner.title} of peft."},
    )
    kind.__module__ = __name__
    return kind


def _describe(tuner: Tuner) -> MethodInfo:
    return MethodInfo(
        name=PREFIX + tuner.name,
        title=tuner.title,
        paper=tuner.paper,
        url=tuner.url,
        packages=("peft",),
        roles=tuner.roles if tuner.roles is not None else PLACEMENTS[tuner.placement],
        identity_at_init=tuner.tolerance is not None,
        identity_note=tuner.start,
        identity_tolerance=tuner.tolerance or 0.0,
        mergeable=tuner.mergeable,
        family=tuner.family,
        year=tuner.year,
        learning_rates=tuner.rates,
    )


def _copy(item: Any) -> Any:
    """Return a field of its own for a class, because dataclasses write into it."""
    return field(default=item.default, metadata=item.metadata)


def _shape_of(module: nn.Module) -> tuple[int, int]:
    """Return the numbers of inputs and outputs of a linear layer or a norm."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    assert isinstance(module, nn.LayerNorm)
    width = module.normalized_shape[0]
    return width, width
