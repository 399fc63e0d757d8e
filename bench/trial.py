"""One run, from its spec to its result. This is what a child process executes; nothing in here knows the grid."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader

import datasets
import methods
from bench import cost
from bench.evaluation import Predict, build_predictor, mean_dice, score_cases
from bench.models import apply_method, build_segmenter
from bench.models.execution import Execution, set_execution
from bench.models.segmenter import Segmenter
from bench.provenance import describe_machine, describe_run
from bench.results import Cost, RunResult, Status
from bench.sources import find_used
from bench.spec import Place, RunSpec, derive_seed
from bench.training import Batch, DivergedError, TrainingData, fit
from datasets.base import Dataset, DatasetInfo
from datasets.patches import PatchDataset
from datasets.preprocessing import PreparedCase, prepare
from datasets.splits import split_cases
from methods.base import Method, MissingRole
from reports.figures import draw_overlay

OVERLAY_FILE = "overlay.png"

Progress = Callable[[str, int, int], None]  # phase ("fit" or "score"), how much is done, of how much


@dataclass(frozen=True)
class FoldData:
    """The prepared cases of one fold."""

    dataset: Dataset
    train: tuple[PreparedCase, ...]
    val: tuple[PreparedCase, ...]
    test: tuple[PreparedCase, ...]


def run_trial(spec: RunSpec, place: Place, on_progress: Progress) -> RunResult:
    """Carry out a run, write ``result.json`` into its folder and return it.

    Whatever happens is recorded: a method that the backbone cannot host ends ``skipped``, a loss that is no number
    ``diverged``, any other exception ``failed`` with its traceback.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    method = methods.build(spec.method.name, dict(spec.method.settings))
    facts = describe_run(spec, method) | {"provenance": describe_machine(place.device, place.threads)}
    try:
        measured = _measure(spec, method, place, on_progress, facts["provenance"])
        result = RunResult(status=Status.DONE, reason="", **facts, **measured)
    except MissingRole as error:
        result = RunResult(status=Status.SKIPPED, reason=str(error), **facts)
    except DivergedError as error:
        result = RunResult(status=Status.DIVERGED, reason=str(error), **facts)
    except Exception as error:  # the run's failure is its result; the grid goes on
        reason = f"{type(error).__name__}: {error}"
        result = RunResult(status=Status.FAILED, reason=reason, traceback=traceback.format_exc(), **facts)
    result.write(place.folder)
    return result


def _measure(
    spec: RunSpec, method: Method, place: Place, on_progress: Progress, provenance: dict[str, Any]
) -> dict[str, Any]:
    torch.set_num_threads(place.threads)
    fabric = build_fabric(place.device, spec.protocol.train.precision)
    data = load_fold(spec, place.cache)
    model = build_model(spec, data.dataset.info)
    loaded = model.backbone.loaded
    provenance["weights"] = asdict(loaded) if loaded else None  # also of a run that ends badly
    pretrained = cost.count_parameters(model).backbone
    options = spec.protocol.model
    apply_method(
        model,
        method,
        seed=derive_seed("method", spec.seed),
        also_train=options.also_train,
        backbone_mode=options.backbone_mode,
    )
    set_execution(model, Execution(place.checkpointing, place.slices_per_chunk))
    counts = cost.count_parameters(model)
    torch.manual_seed(derive_seed("train", spec.seed))
    predict = build_predictor(model, spec.protocol.data.patch, spec.protocol.eval, fabric)
    fitted = fit(model, _training_data(spec, data, predict), spec.protocol.train, fabric, on_progress)
    started = time.perf_counter()

    def on_case(done: int, prediction: np.ndarray) -> None:
        on_progress("score", done, len(data.test))
        if done == 1:
            name = f"{methods.label(method)}{' (SYNTHETIC)' if data.dataset.synthetic else ''}"
            _save_overlay(place.folder / OVERLAY_FILE, data.test[0], prediction, data.dataset.info, name)

    scores = score_cases(predict, data.test, data.dataset.info, on_case)
    score_s = time.perf_counter() - started
    return {
        "cases": tuple(scores),
        "curve": fitted.curve,
        "best_epoch": fitted.best_epoch,
        "cost": Cost(
            params_total=counts.total,
            params_tuned=counts.tuned,
            params_decoder=counts.decoder,
            params_other=counts.other,
            params_tuned_frac=counts.tuned / pretrained,
            fit_s=fitted.fit_s,
            score_s=score_s,
            peak_memory_mib=cost.peak_memory_mib(fabric.device),
        ),
    }


def build_fabric(device: str, precision: str) -> Fabric:
    """Return Fabric for one device such as ``cpu``, ``mps`` or ``cuda:1``."""
    kind, _, index = device.partition(":")
    # Fabric's types are literals; the CLI and the protocol have checked both words.
    return Fabric(accelerator=kind, devices=[int(index)] if index else 1, precision=precision)  # type: ignore[arg-type]


def load_fold(spec: RunSpec, cache: Path) -> FoldData:
    """Return the prepared cases of the run's fold; cases without a label are left out."""
    dataset = datasets.build(spec.dataset, spec.root)
    labelled = find_used(dataset, spec)
    prepared = {case.id: case for case in prepare(dataset, labelled, cache)}
    options = spec.protocol.data
    split = split_cases(labelled, spec.fold, n_folds=options.n_folds, val_frac=options.val_frac)
    parts = [tuple(prepared[case_id] for case_id in part) for part in (split.train, split.val, split.test)]
    return FoldData(dataset, *parts)


def build_model(spec: RunSpec, info: DatasetInfo) -> Segmenter:
    """Return the segmenter that the method goes into: equal for every method of a seed.

    Raises: ValueError if the weights cannot be had or read, or are others than those of the spec.
    """
    options = spec.protocol.model
    model = build_segmenter(
        options.backbone,
        options.weights,
        in_channels=len(info.channels),
        n_classes=len(info.classes),
        patch=spec.protocol.data.patch,
        seed=derive_seed("model", spec.seed),
    )
    if spec.weights_sha256 and model.backbone.loaded and model.backbone.loaded.sha256 != spec.weights_sha256:
        raise ValueError(f"weights: '{options.weights}' has changed since the run was planned")
    return model


def _training_data(spec: RunSpec, data: FoldData, predict: Predict) -> TrainingData:
    options = spec.protocol.data
    patches = PatchDataset(
        data.train,
        options.patch,
        options.patches_per_epoch,
        seed=derive_seed("data", spec.dataset, spec.fold, spec.seed),
        foreground_frac=options.foreground_frac,
        augment=True,
    )
    loader = DataLoader(patches, batch_size=spec.protocol.train.batch)

    def draw_epoch(epoch: int) -> Iterable[Batch]:
        patches.set_epoch(epoch)
        return loader

    return TrainingData(draw_epoch, len(loader), lambda: mean_dice(predict, data.val, data.dataset.info))


def _save_overlay(target: Path, case: PreparedCase, prediction: np.ndarray, info: DatasetInfo, name: str) -> None:
    reference = np.asarray(case.label())
    depth = int((reference > 0).sum(axis=(1, 2)).argmax())  # the slice with most foreground
    image = np.asarray(case.image()[0, depth], dtype=np.float32)
    title = f"{name}: {case.id}, slice {depth}"
    draw_overlay(image, reference[depth], prediction[depth], info.classes, title).savefig(target, dpi=120)
