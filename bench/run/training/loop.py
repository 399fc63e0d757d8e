"""The one training loop. It is the control variable: it knows no method and no test case."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lightning_fabric import Fabric

from bench.cost.phases import FIT, Advance
from bench.cost.timing import synchronize
from bench.models.delta import load_delta
from bench.models.segmenter import Segmenter
from bench.run.training.course import begin_course
from bench.run.training.reached import DivergedError, Fit
from bench.run.training.snapshot import Keeper, NoKeeper
from bench.run.training.step import Batch
from bench.specs.protocol import TrainSpec

Progress = Callable[[Advance], None]
NO_KEEPER = NoKeeper()
HINT = "try a smaller train.lr or train.decoder_lr"


@dataclass(frozen=True)
class TrainingData:
    """All that training may see; both parts are the same for every method."""

    draw_epoch: Callable[[int], Iterable[Batch]]
    batches_per_epoch: int
    # mean Dice of the model, as it then is, on inner validation; may raise DivergedError
    validate: Callable[[], float]


def fit(
    model: Segmenter,
    data: TrainingData,
    spec: TrainSpec,
    fabric: Fabric,
    on_progress: Progress,
    keeper: Keeper = NO_KEEPER,
) -> Fit:
    """Train what requires a gradient; the model is left at the epoch that ``spec.select`` chooses.

    That is the best one on inner validation, or the last one. With a snapshot of the keeper,
    training goes on from there. Raises: DivergedError if a loss, a gradient, a weight or a logit is
    not finite; the model is left at the epoch that was chosen before, or as it was at the start.
    """
    course = begin_course(model, data.draw_epoch, data.batches_per_epoch, spec, fabric, keeper)
    reached = course.reached
    n_epochs = course.schedule.epochs
    while reached.epoch < n_epochs:

        def on_batch(loss: float | None, epoch: int = reached.epoch) -> None:
            on_progress(Advance(FIT, epoch, n_epochs, loss=loss))

        try:
            if not course.is_trained:
                course.train_epoch(data.draw_epoch, on_batch)
            val_dice = None
            if (reached.epoch + 1) % spec.val_every == 0 or reached.epoch == n_epochs - 1:
                course.check_state()
                keeper.begin_validation(course.take)
                val_dice = data.validate()
        except DivergedError as error:
            load_delta(model, reached.best_state)
            sentence = f"training: {error} in epoch {reached.epoch} ({HINT})"
            raise DivergedError(sentence, reached.conclude()) from None
        mean_loss = course.end_epoch(val_dice)
        on_progress(Advance(FIT, reached.epoch, n_epochs, 0, mean_loss, val_dice))
        course.keep(is_validated=val_dice is not None)
    load_delta(model, reached.best_state)
    synchronize(fabric.device)
    fitted = reached.conclude()
    assert fitted is not None  # the last epoch is validated
    return fitted
