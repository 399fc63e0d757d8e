"""The cases of a run's fold; the held-out ones are behind the firewall."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import torch

import datasets
from bench.run.cases import find_used, preparation_of, split_of
from bench.run.firewall import HeldOut
from bench.run.ranks.inference import Inference
from bench.run.training.loop import TrainingData
from bench.run.training.reached import DivergedError
from bench.run.training.step import Batch
from bench.scoring.cases import NotFiniteError, Predict, mean_dices
from bench.specs.run import Place, RunSpec
from datasets.base import Dataset, DatasetInfo
from datasets.prepared.batches.ahead import BatchReader
from datasets.prepared.batches.patches import Patches
from datasets.prepared.case import PreparedCase
from datasets.prepared.intensity import fit_window
from datasets.prepared.prepare import prepare
from datasets.splits.rule import Split, draw_cases

OnValidation = Callable[[tuple[float, ...]], None]  # takes the Dice of each case, every time


@dataclass(frozen=True)
class Fold:
    """The cases of one fold; the held-out ones are not looked at yet."""

    dataset: Dataset
    info: DatasetInfo  # of the data set, with the window of CT values that the fold uses
    train: tuple[PreparedCase, ...]
    val: tuple[PreparedCase, ...]
    held_out: HeldOut[PreparedCase]
    split: Split


def load_fold(
    spec: RunSpec, cache: Path, folder: Path, cut: Callable[[Split], Split] = lambda split: split
) -> Fold:
    """Return the fold of a run that writes into ``folder``; cases without a label are left out.

    ``cut`` returns the part of the fold's cases that is used.
    """
    dataset = datasets.build(spec.dataset, spec.root)
    labelled = find_used(dataset, spec)
    by_id = {case.id: case for case in labelled}
    split, info = cut(split_of(dataset, labelled, spec)), dataset.info
    settings = preparation_of(spec.protocol.data)

    def load(ids: Sequence[str]) -> list[PreparedCase]:
        return prepare(dataset, [by_id[case] for case in ids], cache, settings=settings)

    train = load(split.train)
    if info.modality == "CT" and spec.protocol.data.ct_norm == "fingerprint":
        info = replace(info, window=fit_window(case.sample() for case in train))

    def scale(cases: Iterable[PreparedCase]) -> tuple[PreparedCase, ...]:
        return tuple(replace(case, window=info.window) for case in cases)

    held_out = HeldOut(folder, lambda: scale(load(split.test)))
    return Fold(dataset, info, scale(train), scale(load(split.val)), held_out, split)


def pick_val_cases(spec: RunSpec, val: Sequence[PreparedCase]) -> list[PreparedCase]:
    """Return the inner validation cases that are looked at, the same for every method of a fold."""
    ids = [case.id for case in val]
    picked = set(draw_cases(ids, spec.own_protocol.train.val_cases, spec.fold))
    return [case for case in val if case.id in picked]


def build_training_data(
    spec: RunSpec,
    fold: Fold,
    inference: Inference,
    on_validation: OnValidation,
    on_case: Callable[[int, int], None] = lambda done, total: None,
    place: Place | None = None,
) -> TrainingData:
    """Return the patches to train on, and the mean Dice that selects the epoch.

    ``inference`` segments the inner validation cases that are looked at. ``on_case`` is called as
    ``on_case(n_done, n_cases)`` after each of them. ``place`` tells how patches are read ahead; by
    default they are not.
    """
    data = spec.protocol.data
    seed = spec.seeds["data"]
    patches = Patches(
        cases=fold.train,
        size=data.patch,
        n_patches=data.patches_per_epoch,
        seed=seed,
        foreground_frac=data.foreground_frac,
        augment=True,
        has_ignored=fold.info.ignored_value is not None,
    )
    ranks = inference.ranks
    n_ahead = place.means.data_workers or 0 if place else 0
    pinned = place is not None and place.device.startswith("cuda")
    batch = spec.own_protocol.train.batch
    reader = BatchReader(patches, batch, n_ahead, pinned, ranks.number, ranks.count)

    def draw_epoch(epoch: int) -> Iterable[Batch]:
        # an epoch takes one random number, as torch's DataLoader did: dropout stays what it was
        torch.empty((), dtype=torch.int64).random_()
        return reader.read_epoch(epoch)

    looked_at = pick_val_cases(spec, fold.val)

    def score(predict: Predict) -> tuple[float, ...]:
        return mean_dices(predict, looked_at, fold.info, on_case)

    def validate() -> float:
        try:
            dices = inference.compute(looked_at, score)
        except NotFiniteError as error:
            raise DivergedError(str(error)) from None
        on_validation(dices)
        return fmean(dices)

    return TrainingData(draw_epoch, reader.n_batches, validate)
