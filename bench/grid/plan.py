"""From a request to runs that can start: names checked, data found (or phantoms written), cells laid out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import datasets
from bench.grid.cells import expand
from bench.grid.sources import check_exclude, look_up
from bench.models import registry
from bench.models.weights.catalogue import is_path
from bench.run.cases import find_used, preparation_of
from bench.specs.presets import PhantomSpec
from bench.specs.protocol import Protocol
from bench.specs.run import EMBEDDED_WEIGHTS, MethodSpec, RunSpec

OnCase = Callable[[str, int, int], None]  # what is going on, cases done, cases in all


@dataclass(frozen=True)
class Experiment:
    """A request whose every name is known to exist; no data have been looked at yet."""

    methods: tuple[MethodSpec, ...]
    roots: dict[str, Path]  # data set -> folder
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    protocol: Protocol
    phantom: PhantomSpec | None  # the data are to be made, because none were given
    out: Path
    skip_bad_cases: bool = False
    shots: tuple[int, ...] = ()  # empty: that of the protocol
    tuned: Path | None = None  # values that come with the preset


def lay_out(experiment: Experiment, on_case: OnCase) -> list[RunSpec]:
    """Return the cells of the grid; gets the weights first, and writes phantoms if the experiment has no data.

    Raises: DataError if a root does not hold the data set, or holds cases that cannot be used,
    unless the experiment skips them; ValueError if the weights cannot be had or read.
    """
    model = experiment.protocol.model
    sha256 = registry.check_weights(
        model.backbone, model.weights, experiment.protocol.data.patch[1:]
    )
    data = experiment.protocol.data
    sources = []
    for name, root in experiment.roots.items():
        if experiment.phantom is not None:
            _write_phantoms(name, root, experiment.phantom, on_case)
        on_read = partial(on_case, f"reading {name}")
        sources.append(
            look_up(
                name, root, experiment.out / "cache", data, on_read, skip=experiment.skip_bad_cases
            )
        )
    check_exclude(experiment.protocol.data.exclude, experiment.roots)
    changing = (
        is_path(model.weights) or model.weights == EMBEDDED_WEIGHTS
    )  # the name does not say what is in them
    cells = (experiment.methods, sources, experiment.folds, experiment.seeds, experiment.protocol)
    return expand(*cells, sha256 if changing else "", experiment.shots)


def prepare_data(specs: Sequence[RunSpec], out: Path, on_case: OnCase) -> None:
    """Bring the cases of all data sets into the form that is read during training; what is there already is kept."""
    from datasets.prepared.prepare import prepare

    for spec in {spec.dataset: spec for spec in specs}.values():
        dataset = datasets.build(spec.dataset, spec.root)
        heard = partial(on_case, f"preparing {spec.dataset}")
        prepare(
            dataset,
            find_used(dataset, spec),
            out / "cache",
            heard,
            preparation_of(spec.protocol.data),
        )


def _write_phantoms(name: str, root: Path, phantom: PhantomSpec, on_case: OnCase) -> None:
    from datasets.phantoms.write import write_phantoms

    write_phantoms(
        name,
        root,
        phantom.n_cases,
        shape=phantom.shape,
        on_case=partial(on_case, f"writing {name} phantoms"),
    )
