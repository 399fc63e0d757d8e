"""What the processes of a run do in these tests."""

import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from bench.models.delta import delta_state, hash_tensors, training_state
from bench.run.ranks.group import join
from bench.run.setup import Ending, set_up
from bench.run.training.reached import DivergedError
from bench.specs.run import Place, RunSpec
from reports.records.run import Status


@dataclass(frozen=True)
class Trained:
    """What a training has given.

    Attributes:
        losses: of each epoch.
        val_dices: of each epoch.
        sha256: of all that training may change.
        random: state of torch's random numbers.
    """

    losses: list[float]
    val_dices: list[float | None]
    weights: dict[str, torch.Tensor]
    sha256: str
    random: bytes


def train_all(specs: Sequence[RunSpec], place: Place, send: Callable[[Trained], None]) -> None:
    """Train each network, alone or as one of a team."""
    if place.team is not None:
        join(place)
    for spec in specs:
        setup = set_up(spec, place)
        curve = setup.fit().curve
        send(
            Trained(
                [record.train_loss for record in curve],
                [record.val_dice for record in curve],
                {name: tensor.numpy() for name, tensor in delta_state(setup.model).items()},
                hash_tensors(training_state(setup.model)),
                torch.get_rng_state().numpy().tobytes(),
            )
        )


def train_with_a_bad_gradient(spec: RunSpec, place: Place, send: Callable[[str], None]) -> None:
    """Send how a training ends in which one tensor of the second process has no finite gradient."""
    join(place)
    setup = set_up(spec, place)
    if setup.inference.ranks.number == 1:
        trained = [each for each in setup.model.parameters() if each.requires_grad]
        trained[-1].register_hook(lambda gradient: gradient * math.nan)
    try:
        setup.fit()
    except DivergedError as error:
        send(str(error))


def wait_for_long(spec: RunSpec, place: Place, send: Callable[..., None]) -> None:
    """Be a first process that waits for the others, and is deaf to signals."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)


def die(spec: RunSpec, place: Place, send: Callable[..., None]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def lack_memory(spec: RunSpec, place: Place, send: Callable[[Ending], None]) -> None:
    send(Ending(Status.OOM, "out of memory on cuda:1"))


def wait_for_nobody(spec: RunSpec, place: Place, send: Callable[..., None]) -> None:
    """Be another process that waits for the first one."""
    time.sleep(60)
