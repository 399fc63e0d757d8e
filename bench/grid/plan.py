"""From a checked request to runs that can start: data found, or phantoms written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from bench.grid.feasibility import check_weights
from bench.grid.sources import DataSource, check_distinct, check_exclude, inspect_source
from bench.models.weights.catalogue import is_path
from bench.run.cases import preparation_of, split_of
from bench.run.watch.work import count_run
from bench.specs.presets import PhantomSpec
from bench.specs.protocol import Protocol, SpecError
from bench.specs.run import EMBEDDED_WEIGHTS, MethodSpec, RunSpec
from datasets.base import DataError
from datasets.splits.rule import Split

if TYPE_CHECKING:
    from bench.run.donor import DonorRun

MOST_RUNS = 100_000
Part = tuple[str, int, int]  # data set, fold and number of shots; many runs share one
OnCase = Callable[[str, int, int], None]  # what is going on, cases done, cases in all


@dataclass(frozen=True)
class Experiment:
    """A request whose every name is known to exist; no data have been looked at yet."""

    methods: tuple[MethodSpec, ...]
    roots: dict[str, Path]  # data set or release, as asked for -> folder
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    protocol: Protocol
    phantom: PhantomSpec | None  # the data are to be made, because none were given
    out: Path
    skip_bad_cases: bool = False
    shots: tuple[int, ...] = ()  # empty: that of the protocol
    tuned: Path | None = None  # values that come with the preset
    notes: tuple[str, ...] = ()  # what was chosen for the user, in sentences
    donor: DonorRun | None = None  # of the decoder


@dataclass(frozen=True)
class Plan:
    """The runs of an experiment, the opened data that they use, and how these are divided."""

    runs: tuple[RunSpec, ...]
    sources: tuple[DataSource, ...]
    splits: Mapping[Part, Split] = field(default_factory=dict)


def lay_out(experiment: Experiment, on_case: OnCase) -> Plan:
    """Return the runs of an experiment, all of its data found, or phantoms written.

    Raises: DataError if a root does not hold the data set or its release, if two hold the same, or
    one holds cases that cannot be used and that the experiment does not skip, or if a fold cannot
    be made of its cases; ValueError if the weights cannot be had or read.
    """
    from datasets.phantoms.write import write_phantoms

    model, data = experiment.protocol.model, experiment.protocol.data
    sha256 = ""
    if not all(method.is_reference for method in experiment.methods):
        sha256 = check_weights(experiment.protocol)
    cache = experiment.out / "cache"
    phantom = experiment.phantom
    sources = []
    for name, root in experiment.roots.items():
        if phantom is not None:
            on_written = partial(on_case, f"writing {name} phantoms")
            write_phantoms(name, root, phantom.n_cases, shape=phantom.shape, on_case=on_written)
        on_read = partial(on_case, f"reading {name}")
        skip = experiment.skip_bad_cases
        sources.append(inspect_source(name, root, cache, data, on_read, skip=skip))
    check_distinct(sources)
    check_exclude(data.exclude, [source.dataset for source in sources])
    # the name of a file, or of what is embedded, does not say what is in it
    is_changing = is_path(model.weights) or model.weights == EMBEDDED_WEIGHTS
    runs = expand(experiment, sources, sha256 if is_changing else "")
    if experiment.donor is not None:
        _check_donor(experiment.donor, runs, sources)
    return Plan(runs, tuple(sources), split_data(runs, sources))


def _check_donor(found: DonorRun, runs: Sequence[RunSpec], sources: Sequence[DataSource]) -> None:
    """Check that a decoder fits every data set, and has seen no case that its runs hold out.

    Raises: SpecError with the first reason against it.
    """
    from bench.cost.inventory import NetworkShape, build_outline  # imports torch
    from bench.run.donor import check_classes, check_shapes, check_unseen

    for source in sources:
        info = source.dataset.info
        check_classes(found, info)
        mine = [run for run in runs if run.dataset == source.name]
        data, model = mine[0].protocol.data, mine[0].protocol.model
        shape = NetworkShape(
            model.backbone, data.patch, len(info.channels), len(info.classes), decoder=model.decoder
        )
        check_shapes(found, build_outline(shape).decoder)
        held_out = {}
        for fold in range(data.n_folds):
            split = _find_split(source, replace(mine[0], fold=fold))
            held_out[fold] = split.test if split else ()
        check_unseen(found, source.name, sorted({run.fold for run in mine}), held_out)


def expand(
    experiment: Experiment, sources: Sequence[DataSource], weights_sha256: str = ""
) -> tuple[RunSpec, ...]:
    """Return every cell of the grid, data set by data set, the methods in the order given."""
    protocol = experiment.protocol
    shots = experiment.shots or (protocol.data.shots,)
    protocols = [replace(protocol, data=replace(protocol.data, shots=n)) for n in shots]
    axes = (sources, protocols, experiment.folds, experiment.seeds, experiment.methods)
    n_runs = prod(map(len, axes))
    if n_runs > MOST_RUNS:
        raise SpecError(f"run: must be at most {MOST_RUNS:,} runs, got {n_runs:,} (split the grid)")
    runs = []
    for source, protocol, fold, seed, method in product(*axes):
        name, content = source.name, source.fingerprint
        sha256 = "" if method.is_reference else weights_sha256
        run = RunSpec(method, name, content, fold, seed, protocol, source.root, sha256)
        run = replace(run, left_out=source.left_out, splits_sha256=source.splits_sha256)
        donor = experiment.donor.donor if experiment.donor else None
        runs.append(replace(run, scaling=source.dataset.scaling, donor=donor))
    return tuple(runs)


def split_data(runs: Sequence[RunSpec], sources: Sequence[DataSource]) -> dict[Part, Split]:
    """Return how the cases of each fold are divided.

    Raises: DataError if a fold cannot be made, for instance for lack of cases.
    """
    by_name = {source.name: source for source in sources}
    splits: dict[Part, Split] = {}
    for run in runs:
        part, source = part_of(run), by_name[run.dataset]
        if part not in splits:
            splits[part] = split_of(source.dataset, source.cases, run)
    return splits


def part_of(run: RunSpec) -> Part:
    """Return which part of the data a run is about."""
    return run.dataset, run.fold, run.protocol.data.shots


def count_work(runs: Sequence[RunSpec], splits: Mapping[Part, Split]) -> dict[str, dict[str, int]]:
    """Return how much each run has to do, by its id, in the units of `bench.cost.phases`."""
    return {run.run_id: count_run(run, splits[part_of(run)]) for run in runs}


def _find_split(source: DataSource, run: RunSpec) -> Split | None:
    try:
        return split_of(source.dataset, source.cases, run)
    except DataError:
        return None


def prepare_data(
    runs: Sequence[RunSpec], sources: Sequence[DataSource], out: Path, on_case: OnCase
) -> None:
    """Prepare the cases of the runs for training; cases that are prepared already are kept."""
    from datasets.prepared.prepare import prepare

    run_of = {run.dataset: run for run in runs}
    for source in sources:
        if source.name in run_of:
            settings = preparation_of(run_of[source.name].protocol.data)
            on_prepared = partial(on_case, f"preparing {source.name}")
            prepare(source.dataset, source.cases, out / "cache", on_prepared, settings)
