"""All that a training goes on from: taken between two steps, put back into a fresh process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from bench.cost.compiling import work_s
from bench.run.training.random_state import RandomState
from bench.run.training.reached import Reached
from reports.records.run import EpochRecord

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Position:
    """Where a training is, as plain data.

    Attributes:
        epoch: as in `Reached`, and so are those that follow.
        n_steps: of the optimiser, in all epochs.
        unusual: tensors that were not finite before training.
        fit_s: training so far, in seconds.
        data_wait_s: waiting for patches so far, in seconds.
        scaler: state of the loss scale; empty where the precision has none.
    """

    epoch: int
    n_batches: int
    losses: tuple[float, ...]
    curve: tuple[EpochRecord, ...]
    best_epoch: int | None
    best_val_dice: float | None
    n_steps: int
    unusual: tuple[str, ...]
    fit_s: float
    data_wait_s: float
    scaler: dict[str, float]
    random: RandomState


@dataclass(frozen=True)
class Snapshot:
    """A position with its tensors.

    Attributes:
        model: what training may change.
        best: of the chosen epoch, or of the start.
        optimizer: state of the optimiser, as "parameter/name".
        random: as of `take_random_state`.
    """

    position: Position
    model: Tensors
    best: Tensors
    optimizer: Tensors
    random: Tensors


class Keeper(Protocol):
    """Keeps snapshots of a training."""

    @property
    def found(self) -> Snapshot | None:
        """What to go on from; None: from the start."""

    def reach(self, take: Callable[[], Snapshot], *, is_validated: bool = False) -> float:
        """Be told of the end of a step, or of an epoch; return the seconds that this took.

        Raises: SystemExit if the training is to end here.
        """

    def begin_validation(self, take: Callable[[], Snapshot]) -> None:
        """Be told that a validation begins, in which nothing changes."""


class NoKeeper:
    """Keeps nothing; what another one has found may be gone on from."""

    def __init__(self, found: Snapshot | None = None) -> None:
        self.found = found

    def reach(self, take: Callable[[], Snapshot], *, is_validated: bool = False) -> float:
        return 0.0

    def begin_validation(self, take: Callable[[], Snapshot]) -> None:
        pass


def place_reached(position: Position, best: Tensors) -> Reached:
    """Return how far a training has come that is at a position; its clock goes on."""
    reached = Reached(best)
    reached.curve = [*position.curve]
    reached.waits_s = [position.data_wait_s]
    reached.best_epoch = position.best_epoch
    if position.best_val_dice is not None:
        reached.best_dice = position.best_val_dice
    reached.epoch = position.epoch
    reached.n_batches = position.n_batches
    reached.losses = [*position.losses]
    reached.started = work_s() - position.fit_s - position.data_wait_s
    return reached


def take_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return copies of an optimiser's state as "parameter/name"."""
    names: dict[torch.Tensor, str] = {each: name for name, each in model.named_parameters()}
    found = {}
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            found[f"{names[parameter]}/{key}"] = value.detach().clone()
    return found


def put_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, state: Tensors) -> None:
    """Go on with the state of `take_optimizer`; the groups and their rates stay."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    by_name: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in state.items():
        name, _, inner = key.rpartition("/")
        by_name.setdefault(name, {})[inner] = tensor
    parameters: list[nn.Parameter] = []
    for group in optimizer.param_groups:
        parameters += group["params"]
    numbered = {}
    for number, parameter in enumerate(parameters):
        if names[parameter] in by_name:
            numbered[number] = by_name[names[parameter]]
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": numbered, "param_groups": groups})
