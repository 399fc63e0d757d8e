"""What a run trains, and what a method is: a frozen record that puts itself into a backbone."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import ClassVar, Protocol, runtime_checkable

import torch

from methods import surgery
from methods.blocks import BLOCKS, EXAMPLES, choose_blocks
from methods.settings import check, setting
from methods.sites import HasSites, Role, Site


class Family(StrEnum):
    """What methods have in common; the folders of our own methods have these names."""

    REFERENCE = "reference"
    PROMPT = "prompt"
    ADAPTER = "adapter"
    LOW_RANK = "low_rank"
    SCALE_SHIFT = "scale_shift"
    SELECTIVE = "selective"
    VOLUMETRIC = "volumetric"
    ORTHOGONAL = "orthogonal"  # of the library peft alone, as the next
    SPECTRAL = "spectral"
    OTHER = "other"  # a user's own method that does not say


class MissingRole(ValueError):  # noqa: N818 - it ends a run as skipped, which is no error
    """The backbone lacks a kind of site that the method needs."""


@dataclass(frozen=True)
class Info:
    """The facts of what is compared."""

    kind: ClassVar[str]  # as in `reports.records.run.RunResult`
    name: str
    title: str
    paper: str
    url: str
    _: KW_ONLY
    packages: tuple[str, ...] = ()  # that it needs beside ours, by the names that are imported
    compile_note: str = ""  # why torch.compile cannot compile it, if it cannot


@dataclass(frozen=True)
class Contender(ABC):
    """What a run trains; a subclass declares its hyper-parameters as fields, by `setting`."""

    info: ClassVar[Info]

    def __post_init__(self) -> None:
        check(f"{self.info.name}: {{}}", self)

    @property
    def has_backbone(self) -> bool:
        """Whether it is put into a backbone."""
        return False

    @property
    def tunes_backbone(self) -> bool:
        """Whether the parameters of a pre-trained backbone train."""
        return False


@dataclass(frozen=True)
class MethodInfo(Info):
    """The facts of a method."""

    kind: ClassVar[str] = "method"
    roles: tuple[Role, ...]
    identity_at_init: bool  # with default settings the tuned network starts as the frozen one
    identity_note: str  # why it does, or why not
    identity_tolerance: float = 0.0  # of the largest logit, where it does so nearly
    mergeable: bool = False
    tunes_backbone: bool = False  # some of the backbone's own parameters train, too
    family: Family = Family.OTHER
    year: int | None = None  # of the paper
    from_scratch: bool = False  # the backbone starts from random weights
    chunk_note: str = ""  # why chunks of slices change what it computes in training, if they do
    learning_rates: tuple[float, float] | None = None  # that tuning tries; None: the protocol's


@dataclass(frozen=True)
class Method(Contender):
    """A tuning method."""

    info: ClassVar[MethodInfo]
    _: KW_ONLY
    blocks: str = setting("all", f"which blocks: {EXAMPLES}", BLOCKS)

    @property
    def has_backbone(self) -> bool:
        return True

    @property
    def tunes_backbone(self) -> bool:
        return self.info.tunes_backbone

    @abstractmethod
    def inject(self, backbone: HasSites) -> None:
        """Put the method into a frozen backbone; inserted modules train, the rest stays frozen."""

    @abstractmethod
    def expected_tuned(self, backbone: HasSites) -> int:
        """Return in closed form how many parameters `inject` would train in this backbone."""

    def needed_roles(self) -> tuple[Role, ...]:
        return self.info.roles

    def find_sites(self, backbone: HasSites, *roles: Role) -> list[Site]:
        """Return the sites of the given roles in the blocks of `blocks`, in their order.

        Raises: ValueError if the backbone lacks such blocks.
        """
        chosen = self.choose_blocks(backbone)
        return [site for site in find_sites(backbone, *roles) if site.index in chosen]

    def choose_blocks(self, backbone: HasSites) -> frozenset[int]:
        """Return the numbers of the blocks of `blocks`. Raises: ValueError if one is missing."""
        ends = [site.last_in_stage for site in find_sites(backbone, Role.BLOCK)]
        try:
            return choose_blocks(self.blocks, ends)
        except ValueError as error:
            raise ValueError(f"{self.info.name}: blocks {error} on {backbone.name}") from None

    def starts_as_identity(self) -> bool:
        """Whether the network with the method, with these settings, starts as the frozen one."""
        return self.info.identity_at_init

    def no_gradient(self) -> Mapping[str, str]:
        """Return the trained tensors (`fnmatch`) that never get a gradient, with the reason."""
        return {}

    def late_gradient(self) -> Mapping[str, str]:
        """Return the tensors (`fnmatch`) whose first gradient is exactly zero, with the reason."""
        return {}

    def rare_gradient(self) -> Mapping[str, str]:
        """Return the tensors (`fnmatch`) that some batches give no gradient, with the reason."""
        return {}


@runtime_checkable
class HasLoss(Protocol):
    """An inserted module with a loss of its own."""

    def extra_loss(self) -> torch.Tensor | None:
        """Return what is added to the task's loss after a forward pass; None: nothing."""


@runtime_checkable
class FollowsSteps(Protocol):
    """An inserted module that acts after each step of the optimiser."""

    def after_step(self, lr: float) -> None:
        """Act; ``lr`` is the method's learning rate at this step."""


@runtime_checkable
class ShapedByDelta(Protocol):
    """An inserted module whose tensors depend on the training data."""

    def shape_like(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Have tensors of the names and shapes of a stored network's."""


@runtime_checkable
class Switchable(Protocol):
    """An inserted module that can be switched off, to see what it does."""

    def switched_off(self) -> AbstractContextManager[None]:
        """Compute as the frozen module does, as long as this is entered."""


@runtime_checkable
class Described(Protocol):
    """An inserted module with something to tell about what training has made of it."""

    def describe(self) -> dict[str, float]:
        """Return numbers by name, for the record of the run."""


def apply(method: Method, backbone: HasSites) -> None:
    """Freeze the backbone and put the method into it.

    Raises: MissingRole if the backbone has no place for it; ValueError if a setting does not fit.
    """
    offered = {site.role for site in backbone.sites}
    for role in method.needed_roles():
        if role not in offered:
            listed = ", ".join(sorted(offered)) or "none"
            offer = f"backbone '{backbone.name}' offers {listed}"
            raise MissingRole(f"{method.info.name} needs role '{role}'; {offer}")
    surgery.freeze(backbone)
    method.inject(backbone)
    backbone.train(backbone.training)  # new modules start in training mode: let them follow


def find_sites(backbone: HasSites, *roles: Role) -> list[Site]:
    """Return the sites of the given roles in all blocks, in their order."""
    return [site for site in backbone.sites if site.role in roles]
