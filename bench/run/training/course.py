"""A training under way: its steps, and the snapshots that it goes on from."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from lightning_fabric import Fabric
from torch.optim.lr_scheduler import LambdaLR

from bench.cost.compiling import work_s
from bench.models.delta import delta_state, load_training_state, training_state
from bench.models.finite import find_not_finite, shorten_names
from bench.models.segmenter import Segmenter
from bench.run.training.lookout import Lookout, Waiting
from bench.run.training.random_state import put_random_state, take_random_state
from bench.run.training.ranks import mean_over_ranks
from bench.run.training.reached import DivergedError, Reached
from bench.run.training.schedule import Schedule
from bench.run.training.selection import select_by_gradient
from bench.run.training.snapshot import (
    Keeper,
    Position,
    Snapshot,
    place_reached,
    put_optimizer,
    take_optimizer,
)
from bench.run.training.step import Batch, TrainingStep, build_step
from bench.specs.protocol import TrainSpec
from reports.records.run import EpochRecord

DrawEpoch = Callable[[int], Iterable[Batch]]


@dataclass
class Course:
    """A training under way: the network, what moves it, and how far it has come."""

    model: Segmenter
    step: TrainingStep
    schedule: Schedule
    rates: LambdaLR
    keeper: Keeper
    reached: Reached
    unusual: Sequence[str] = ()  # tensors that were not finite before training
    resumed: Snapshot | None = None  # whose random numbers are still to be put back

    def __post_init__(self) -> None:
        device = self.step.fabric.device
        self.lookout = Lookout(device, lambda: _describe_gradient(self.model))
        self.waiting = Waiting(device)

    @property
    def is_trained(self) -> bool:
        """Whether the present epoch has no step left."""
        is_over = self.reached.n_batches == self.schedule.batches_per_epoch
        return is_over or self.rates.last_epoch == self.schedule.n_steps

    def train_epoch(self, draw_epoch: DrawEpoch, on_batch: Callable[[float | None], None]) -> None:
        """Carry out the steps of the epoch that are left.

        The gradient of a step is the mean over its batches, as data-parallel devices average
        theirs. ``on_batch`` is called after each batch with the mean loss as far as it is known.
        """
        self.step.model.train()
        reached = self.reached
        batches = self._iter_on_device(self._skip(draw_epoch(reached.epoch)))
        for number, batch in enumerate(batches, start=reached.n_batches):
            position = number % self.step.spec.accumulate
            n_batches = self.schedule.count_batches(number - position)
            if position == 0:
                self.step.optimizer.zero_grad()
            loss = self.step.loss(batch)
            self.lookout.note_loss(mean_over_ranks(loss, self.step.fabric))
            self.step.backward(loss / n_batches)
            is_moved = position + 1 == n_batches
            if is_moved:
                self.lookout.note_norm(self.step.move())
                self.rates.step()
            if self.lookout.is_due:
                self.look()
            on_batch(fmean(reached.losses) if reached.losses else None)
            if is_moved:
                reached.n_batches = number + 1
                self.keep()
            if self.is_trained:
                break
        self.look()

    def _iter_on_device(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield batches on the device, whose waiting for them is timed."""

        def fetch() -> Batch | None:
            batch = next(batches, None)
            return None if batch is None else self.step.fabric.to_device(batch)

        while (batch := self.waiting.time(fetch)) is not None:
            yield batch

    def look(self) -> None:
        """Read what the steps have left on the device. Raises: DivergedError."""
        self.reached.losses += self.lookout.look()
        self.reached.waits_s += self.waiting.read()

    def _skip(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Return the batches that are left; the random numbers go on where they were."""
        iterator = iter(batches)
        if self.resumed is None:
            return iterator
        started = work_s()
        for _ in range(self.reached.n_batches):
            next(iterator)
        self._put_random(self.resumed)
        self.reached.leave_out(work_s() - started)
        return iterator

    def check_state(self) -> None:
        """Raise DivergedError if a tensor is not finite that training may change."""
        names = sorted({*find_not_finite(_list_changing(self.model))} - {*self.unusual})
        if names:
            raise DivergedError(f"these are not finite: {shorten_names(names)}")

    def end_epoch(self, val_dice: float | None) -> float:
        """Put an epoch on record, and its weights if they are the best; return its mean loss."""
        reached, spec = self.reached, self.step.spec
        if val_dice is not None:
            reached.keep_best(val_dice, self.model, spec.select)
        share = self.schedule.factor(self.rates.last_epoch)  # as the next step would have it
        mean_loss = sum(reached.losses) / len(reached.losses)
        rates = spec.lr * share, spec.decoder_lr * share
        reached.end_epoch(EpochRecord(reached.epoch, mean_loss, rates[0], val_dice, rates[1]))
        return mean_loss

    def keep(self, *, is_validated: bool = False) -> None:
        """Let the keeper take a snapshot, whose time is not that of training."""
        self.reached.leave_out(self.keeper.reach(self.take, is_validated=is_validated))

    def take(self) -> Snapshot:
        """Return a snapshot of this moment, which is between two steps. Raises: as `look`."""
        self.look()
        reached = self.reached
        optimizer = self.step.optimizer.optimizer
        random, random_tensors = take_random_state(self.step.fabric.device)
        scaler = self.step.scaler
        fit_s, data_wait_s = reached.measure()
        position = Position(
            epoch=reached.epoch,
            n_batches=reached.n_batches,
            losses=tuple(reached.losses),
            curve=tuple(reached.curve),
            best_epoch=reached.best_epoch,
            best_val_dice=None if reached.best_epoch is None else reached.best_dice,
            n_steps=self.rates.last_epoch,
            unusual=tuple(self.unusual),
            fit_s=fit_s,
            data_wait_s=data_wait_s,
            scaler={} if scaler is None else scaler.state_dict(),
            random=random,
        )
        return Snapshot(
            position,
            training_state(self.model),
            reached.best_state,
            take_optimizer(self.model, optimizer),
            random_tensors,
        )

    def put(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot, whose tensors of the network are in it already."""
        position = snapshot.position
        self.reached = place_reached(position, snapshot.best)
        self.unusual = position.unusual
        put_optimizer(self.model, self.step.optimizer.optimizer, snapshot.optimizer)
        self.rates.last_epoch = position.n_steps
        for group in self.rates.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.schedule.factor(position.n_steps)
        scaler = self.step.scaler
        if scaler is not None:
            scaler.load_state_dict(dict(position.scaler))
        self._put_random(snapshot)
        if position.n_batches and not self.is_trained:
            self.resumed = snapshot  # what draws the batches takes random numbers first

    def _put_random(self, snapshot: Snapshot) -> None:
        device = self.step.fabric.device
        put_random_state(snapshot.position.random, dict(snapshot.random), device)
        self.resumed = None


def begin_course(
    model: Segmenter,
    draw_epoch: DrawEpoch,
    batches_per_epoch: int,
    spec: TrainSpec,
    fabric: Fabric,
    keeper: Keeper,
) -> Course:
    """Return a training at its start, or where the keeper's snapshot was taken."""
    started = work_s()
    schedule = Schedule(spec, batches_per_epoch)
    if keeper.found is None:
        select_by_gradient(model, draw_epoch, spec, fabric)
    else:
        load_training_state(model, keeper.found.model)
    step = build_step(model, spec, fabric)
    rates = LambdaLR(step.optimizer.optimizer, schedule.factor)
    course = Course(model, step, schedule, rates, keeper, Reached(delta_state(model), started))
    if keeper.found is None:
        course.unusual = find_not_finite(_list_changing(model))  # a mask, for instance
    else:
        course.put(keeper.found)
    return course


def _describe_gradient(model: torch.nn.Module) -> str:
    named = model.named_parameters()
    names = find_not_finite({name: each.grad for name, each in named if each.grad is not None})
    return f"the gradient is not finite: {shorten_names(names) or 'its norm is too large'}"


def _list_changing(model: Segmenter) -> dict[str, torch.Tensor]:
    """Return what training may change: trained parameters, and buffers."""
    parameters = model.named_parameters()
    trained = {name: each for name, each in parameters if each.requires_grad}
    return {**trained, **dict(model.named_buffers())}
