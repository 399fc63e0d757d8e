"""The one training loop. It is the control variable: it knows no method and no test case."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from lightning_fabric import Fabric
from torch.optim.lr_scheduler import LambdaLR

from bench.cost.phases import FIT, Advance
from bench.cost.timing import synchronize
from bench.models.delta import delta_state, load_delta
from bench.models.finite import find_not_finite, shorten_names
from bench.models.segmenter import Segmenter
from bench.run.training.schedule import Schedule
from bench.run.training.selection import select_by_gradient
from bench.run.training.step import Batch, TrainingStep, build_step
from bench.specs.protocol import LAST, TrainSpec
from reports.records.run import EpochRecord

Progress = Callable[[Advance], None]
HINT = "try a smaller train.lr or train.decoder_lr"


@dataclass(frozen=True)
class TrainingData:
    """All that training may see; both parts are the same for every method."""

    draw_epoch: Callable[[int], Iterable[Batch]]
    batches_per_epoch: int
    # mean Dice of the model, as it then is, on inner validation; may raise DivergedError
    validate: Callable[[], float]


@dataclass(frozen=True)
class Fit:
    """What training found; the model holds the chosen epoch's weights."""

    curve: tuple[EpochRecord, ...]
    best_epoch: int  # the chosen one
    best_val_dice: float  # of the chosen epoch
    fit_s: float  # training steps and inner validation, in seconds
    data_wait_s: float  # waiting for patches, which is not in ``fit_s``


class DivergedError(RuntimeError):
    """A loss, a gradient, a weight or a logit is no longer finite."""

    def __init__(self, sentence: str, reached: Fit | None = None) -> None:
        """``reached``: what was found before; None if no epoch was validated."""
        super().__init__(sentence)
        self.reached = reached


@dataclass
class Reached:
    """How far a training has come, beside the model, the optimiser and the random numbers."""

    best_state: Mapping[str, torch.Tensor]  # of the chosen epoch; before that, of the start
    started: float = field(default_factory=time.perf_counter)
    curve: list[EpochRecord] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    best_dice: float = -math.inf

    def keep_best(self, epoch: int, val_dice: float, model: Segmenter, select: str) -> None:
        """Keep the model's state if the rule of selection prefers it to the one before."""
        if val_dice > self.best_dice or select == LAST:
            self.best_epoch, self.best_dice = epoch, val_dice
            self.best_state = delta_state(model)

    def conclude(self) -> Fit | None:
        """Return what was found so far; None if no epoch was chosen yet."""
        if self.best_epoch is None:
            return None
        waited_s = sum(self.waits_s)
        fit_s = time.perf_counter() - self.started - waited_s
        return Fit(tuple(self.curve), self.best_epoch, self.best_dice, fit_s, waited_s)


def fit(
    model: Segmenter, data: TrainingData, spec: TrainSpec, fabric: Fabric, on_progress: Progress
) -> Fit:
    """Train what requires a gradient; the model is left at the epoch that ``spec.select`` chooses.

    That is the best one on inner validation, or the last one. Raises: DivergedError if a loss, a
    gradient, a weight or a logit is not finite; the model is left at the epoch that was chosen
    before, or as it was at the start.
    """
    started = time.perf_counter()
    select_by_gradient(model, data.draw_epoch, spec, fabric)
    schedule = Schedule(spec, data.batches_per_epoch)
    step = build_step(model, spec, fabric)
    rates = LambdaLR(step.optimizer.optimizer, schedule.factor)
    unusual = find_not_finite(_list_changing(model))  # a mask, for instance
    reached = Reached(delta_state(model), started)
    for epoch in range(schedule.epochs):

        def on_batch(loss: float, epoch: int = epoch) -> None:
            on_progress(Advance(FIT, epoch, schedule.epochs, loss=loss))

        try:
            batches = _iter_timed(data.draw_epoch(epoch), fabric, reached.waits_s)
            losses = _train_epoch(step, batches, schedule, rates, on_batch)
            val_dice = None
            if (epoch + 1) % spec.val_every == 0 or epoch == schedule.epochs - 1:
                _check_state(model, unusual)
                val_dice = data.validate()
        except DivergedError as error:
            load_delta(model, reached.best_state)
            sentence = f"training: {error} in epoch {epoch} ({HINT})"
            raise DivergedError(sentence, reached.conclude()) from None
        if val_dice is not None:
            reached.keep_best(epoch, val_dice, model, spec.select)
        share = schedule.factor(rates.last_epoch)  # as the next step would have it
        mean_loss = sum(losses) / len(losses)
        reached.curve.append(
            EpochRecord(epoch, mean_loss, spec.lr * share, val_dice, spec.decoder_lr * share)
        )
        on_progress(Advance(FIT, epoch + 1, schedule.epochs, 0, mean_loss, val_dice))
    load_delta(model, reached.best_state)
    synchronize(fabric.device)
    fitted = reached.conclude()
    assert fitted is not None  # the last epoch is validated
    return fitted


def _train_epoch(
    step: TrainingStep,
    batches: Iterable[Batch],
    schedule: Schedule,
    rates: LambdaLR,
    on_batch: Callable[[float], None],
) -> list[float]:
    """Carry out the steps of an epoch, or those that are left; return the loss of each batch.

    The gradient of a step is the mean over its batches, as data-parallel devices average theirs.
    ``on_batch`` is called after each batch with the mean loss so far.
    """
    step.model.train()
    losses = []
    for number, batch in enumerate(batches):
        position = number % step.spec.accumulate
        n_batches = schedule.count_batches(number - position)
        if position == 0:
            step.optimizer.zero_grad()
        loss = step.loss(batch)
        losses.append(_finite(loss))
        step.backward(loss / n_batches)
        if position + 1 == n_batches:
            if not step.move():
                raise DivergedError(_describe_gradient(step.model))
            rates.step()
        on_batch(sum(losses) / len(losses))
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


def _finite(loss: torch.Tensor) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DivergedError(f"the loss is {value}")
    return value


def _describe_gradient(model: torch.nn.Module) -> str:
    named = model.named_parameters()
    names = find_not_finite({name: each.grad for name, each in named if each.grad is not None})
    return f"the gradient is not finite: {shorten_names(names) or 'its norm is too large'}"


def _list_changing(model: Segmenter) -> dict[str, torch.Tensor]:
    """Return what training may change: trained parameters, and buffers."""
    parameters = model.named_parameters()
    trained = {name: each for name, each in parameters if each.requires_grad}
    return {**trained, **dict(model.named_buffers())}


def _check_state(model: Segmenter, unusual: Iterable[str]) -> None:
    """Raise DivergedError if a tensor is not finite that training may change."""
    names = sorted({*find_not_finite(_list_changing(model))} - {*unusual})
    if names:
        raise DivergedError(f"these are not finite: {shorten_names(names)}")
