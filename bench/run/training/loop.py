"""The one training loop. It is the control variable: it knows no method and no test case."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch.optim.lr_scheduler import LambdaLR

from bench.cost.timing import synchronize
from bench.models.delta import delta_state, load_delta
from bench.models.segmenter import Segmenter
from bench.run.training.schedule import Schedule
from bench.run.training.step import Batch, TrainingStep, build_step
from bench.specs.protocol import LAST, TrainSpec
from reports.records.run import EpochRecord

Progress = Callable[[str, int, int], None]  # takes a phase ("fit" or "score"), done, total


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class TrainingData:
    """All that training may see; both parts are the same for every method."""

    draw_epoch: Callable[[int], Iterable[Batch]]
    batches_per_epoch: int
    validate: Callable[[], float]  # mean Dice of the model, as it then is, on inner validation


@dataclass(frozen=True)
class Fit:
    """What training found; the model holds the chosen epoch's weights."""

    curve: tuple[EpochRecord, ...]
    best_epoch: int  # the chosen one
    best_val_dice: float  # of the chosen epoch
    fit_s: float  # training steps and inner validation, in seconds
    data_wait_s: float  # waiting for patches, which is not in ``fit_s``


def fit(
    model: Segmenter, data: TrainingData, spec: TrainSpec, fabric: Fabric, on_progress: Progress
) -> Fit:
    """Train what requires a gradient; the model is left at the epoch that ``spec.select`` chooses.

    That is the best one on inner validation, or the last one. Raises: DivergedError if the loss is
    not finite.
    """
    started = time.perf_counter()
    schedule = Schedule(spec, data.batches_per_epoch)
    step = build_step(model, spec, fabric)
    rates = LambdaLR(step.optimizer.optimizer, schedule.factor)
    curve: list[EpochRecord] = []
    waits_s: list[float] = []
    best_dice, best_epoch = -math.inf, 0
    best_state = delta_state(model)
    for epoch in range(schedule.epochs):
        batches = _iter_timed(data.draw_epoch(epoch), fabric, waits_s)
        losses = _train_epoch(step, batches, schedule, rates, epoch)
        val_dice = None
        if (epoch + 1) % spec.val_every == 0 or epoch == schedule.epochs - 1:
            val_dice = data.validate()
            if val_dice > best_dice or spec.select == LAST:
                best_dice, best_epoch = val_dice, epoch
                best_state = delta_state(model)
        share = schedule.factor(rates.last_epoch)  # as the next step would have it
        mean_loss = sum(losses) / len(losses)
        curve.append(
            EpochRecord(epoch, mean_loss, spec.lr * share, val_dice, spec.decoder_lr * share)
        )
        on_progress("fit", epoch + 1, schedule.epochs)
    load_delta(model, best_state)
    synchronize(fabric.device)
    waited_s = sum(waits_s)
    fit_s = time.perf_counter() - started - waited_s
    return Fit(tuple(curve), best_epoch, best_dice, fit_s, waited_s)


def _train_epoch(
    step: TrainingStep, batches: Iterable[Batch], schedule: Schedule, rates: LambdaLR, epoch: int
) -> list[float]:
    """Carry out the steps of an epoch, or those that are left; return the loss of each batch.

    The gradient of a step is the mean over its batches, as data-parallel devices average theirs.
    """
    step.model.train()
    losses = []
    for number, batch in enumerate(batches):
        position = number % step.spec.accumulate
        n_batches = schedule.count_batches(number - position)
        if position == 0:
            step.optimizer.zero_grad()
        loss = step.loss(batch)
        losses.append(_finite(loss, epoch))
        step.backward(loss / n_batches)
        if position + 1 == n_batches:
            step.move()
            rates.step()
            if rates.last_epoch == schedule.n_steps:
                break
    return losses


def _iter_timed(batches: Iterable[Batch], fabric: Fabric, waits_s: list[float]) -> Iterator[Batch]:
    """Yield batches on the device; append how long each kept an idle device waiting, in seconds."""
    iterator = iter(batches)
    while True:
        synchronize(fabric.device)  # else what the device is still computing would count as waiting
        started = time.perf_counter()
        batch = next(iterator, None)
        if batch is None:
            return
        batch = fabric.to_device(batch)
        synchronize(fabric.device)
        waits_s.append(time.perf_counter() - started)
        yield batch


def _finite(loss: torch.Tensor, epoch: int) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        hint = "try a smaller train.lr or train.decoder_lr"
        raise DivergedError(f"training: the loss is {value} in epoch {epoch} ({hint})")
    return value
