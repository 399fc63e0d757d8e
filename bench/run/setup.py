"""What runs and tuning trials share: a network that is ready to be trained, and how it ends."""

import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric

from bench.cost.compiling import watch_compiler
from bench.cost.memory import describe_out_of_memory, is_out_of_memory
from bench.cost.phases import VALIDATE, Advance
from bench.models.compiled import check_compiler, compile_network, describe_compile_error
from bench.models.segmenter import Segmenter
from bench.run.chunks.choice import choose_execution
from bench.run.donor import check_given
from bench.run.fold import Fold, OnValidation, build_training_data, load_fold
from bench.run.inference.predictor import Predictor
from bench.run.interruption import deferred
from bench.run.network import build, build_fabric
from bench.run.ranks.group import Ranks
from bench.run.ranks.inference import Inference
from bench.run.ranks.modules import sharing_batches
from bench.run.resume.keeper import Checkpoints
from bench.run.resume.owner import Owner, describe_owner
from bench.run.training.loop import Progress, TrainingData, fit
from bench.run.training.reached import DivergedError, Fit
from bench.run.training.snapshot import NoKeeper, Snapshot
from bench.scoring.cases import NotFiniteError
from bench.specs.run import Place, RunSpec
from datasets.files import describe_os_error
from methods.base import MissingRole
from methods.executed import set_execution
from methods.execution import PLAIN, Execution
from reports.records.run import Status
from reports.records.text import shorten_text

LONGEST_KEPT = 2000  # letters of a reason; the whole text is in the traceback


@dataclass(frozen=True)
class Setup:
    """A network with its method in it, and what it is trained on."""

    spec: RunSpec
    fold: Fold
    fabric: Fabric
    model: Segmenter
    predictor: Predictor  # of this process alone
    inference: Inference  # by the model as it then is
    data: TrainingData
    on_progress: Progress
    checkpoints: Checkpoints | None = None
    found: Snapshot | None = None  # that the training goes on from
    execution: Execution = PLAIN  # that was asked for, or chosen

    def fit(self) -> Fit:
        """Train, from a checkpoint if there is one. Raises: as `fit`; Interrupted at a signal."""
        train = self.spec.own_protocol.train
        keeper = self.checkpoints or NoKeeper(self.found)
        waiting = deferred() if self.checkpoints else nullcontext()
        with waiting, sharing_batches(self.model, self.fabric):
            return fit(self.model, self.data, train, self.fabric, self.on_progress, keeper)

    def build_own_fabric(self) -> Fabric:
        """Return Fabric for the device of this process alone."""
        if self.fabric.world_size == 1:
            return self.fabric
        return build_fabric(str(self.fabric.device), self.spec.own_protocol.train.precision)


@dataclass(frozen=True)
class Hooks:
    """What is called while a run is prepared and trained.

    Attributes:
        on_fold: with the fold, as soon as it is loaded.
        on_plain: with the network, before the method goes into it.
        on_validation: with the Dice of each case, after each validation.
        on_progress: after each batch, and each case of a validation.
        checkpoints: that the training goes on from; None: it is neither kept nor looked for.
    """

    on_fold: Callable[[Fold], None] = lambda fold: None
    on_plain: Callable[[Segmenter], None] = lambda model: None
    on_validation: OnValidation = lambda dices: None
    on_progress: Progress = lambda step: None
    checkpoints: Checkpoints | None = None


def set_up(
    spec: RunSpec,
    place: Place,
    hooks: Hooks = Hooks(),
    load: Callable[[RunSpec, Path, Path], Fold] | None = None,
) -> Setup:
    """Load a run's fold and build its network; torch's random numbers are at the run's start.

    ``load`` stands for `load_fold`. Raises: as `load_fold` and `build`; CheckpointError if there is
    a checkpoint of something else; CompileError if torch cannot compile here.
    """
    protocol = spec.own_protocol
    if not spec.method.is_reference:
        check_given(protocol.model.decoder_mode, is_given=spec.donor is not None)
    ranks = Ranks.of(place.team)
    fabric = build_fabric(place.device, protocol.train.precision, place.team)
    torch.set_num_threads(protocol.train.threads)  # Fabric has its own idea of several processes
    _check_precision(fabric, protocol.train.precision)
    if place.means.compiled:
        check_compiler(fabric.device.type)
    fold = (load or load_fold)(spec, place.cache, place.folder)
    hooks.on_fold(fold)
    model = build(spec, fold.info, hooks.on_plain)
    checkpoints = hooks.checkpoints

    def describe() -> Owner:
        kind = fabric.device.type if ranks.count == 1 else f"{ranks.count} x {fabric.device.type}"
        return describe_owner(spec, fold.split.hash, model.weights_sha256, kind)

    found, kept = ranks.broadcast(_open(checkpoints, describe))
    execution = choose_execution(spec, fold.info, place.means, fabric, kept)
    _set_execution(model, execution, checkpoints)
    if place.means.compiled:
        watch_compiler()
        compile_network(model)
    torch.manual_seed(spec.seeds["train"])
    predict = Predictor(model, protocol.data.patch, protocol.eval, fabric)
    select = predict
    if protocol.selection != protocol.eval:
        select = Predictor(model, protocol.data.patch, protocol.selection, fabric)

    def on_case(done: int, total: int) -> None:
        hooks.on_progress(Advance(VALIDATE, done, total))
        if checkpoints is not None:
            checkpoints.look()

    def on_validation(dices: tuple[float, ...]) -> None:
        if checkpoints is not None:
            checkpoints.note_validation(dices)
        hooks.on_validation(dices)

    selection = Inference(select, ranks)
    data = build_training_data(spec, fold, selection, on_validation, on_case, place)
    progress, inference = hooks.on_progress, Inference(predict, ranks)
    parts = (spec, fold, fabric, model, predict, inference, data, progress, checkpoints, found)
    return Setup(*parts, execution)


def _open(
    checkpoints: Checkpoints | None, describe: Callable[[], Owner]
) -> tuple[Snapshot | None, int | None]:
    """Return what a training goes on from, and the slices of its chunks; None where it begins."""
    if checkpoints is None:
        return None, None
    checkpoints.open(describe())
    return checkpoints.found, checkpoints.slices_per_chunk


def _set_execution(model: Segmenter, execution: Execution, checkpoints: Checkpoints | None) -> None:
    set_execution(model, execution)
    if checkpoints is not None:
        checkpoints.slices_per_chunk = execution.slices_per_chunk


def _check_precision(fabric: Fabric, asked: str) -> None:
    """Raise ValueError if Fabric computes in another precision than was asked for."""
    computed = fabric.strategy.precision.precision
    if computed != asked:
        got = f"{asked}, in whose place {fabric.device.type} computes in {computed}"
        raise ValueError(f"train.precision: must be one that the device has, got {got}")


@dataclass(frozen=True)
class Ending:
    """How something ended that was to be trained."""

    status: Status
    reason: str = ""  # one sentence; empty when done
    traceback: str = ""  # of what was not foreseen: a failure, or too little memory


DONE = Ending(Status.DONE)


def ending_of(error: Exception | SystemExit, device: str) -> Ending:
    """Return the ending that an exception stands for; call it where the exception is caught."""
    if isinstance(error, MissingRole):
        return Ending(Status.SKIPPED, str(error))
    if isinstance(error, DivergedError | NotFiniteError):
        return Ending(Status.DIVERGED, str(error))
    if is_out_of_memory(error):
        reason = describe_out_of_memory(error, device)
        return Ending(Status.OOM, reason, traceback.format_exc())
    if sentence := describe_compile_error(error):
        return Ending(Status.FAILED, sentence, traceback.format_exc())
    reason = f"{type(error).__name__}: {shorten_text(str(error), LONGEST_KEPT)}"
    if isinstance(error, OSError):
        reason = describe_os_error(error)
    if isinstance(error, SystemExit):
        reason = f"code of the method has asked to end the process (sys.exit({error.code!r:.80}))"
    return Ending(Status.FAILED, reason, traceback.format_exc())
