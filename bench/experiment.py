"""From a request to runs that can start: names checked, data found (or phantoms written), cells laid out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import datasets
import methods
from bench.grid import expand, parse_methods, parse_names, parse_numbers
from bench.models import registry
from bench.models.pretraining import is_path
from bench.presets import PhantomSpec, get_preset
from bench.protocol import Protocol, SpecError, override
from bench.request import Request
from bench.sources import check_exclude, find_used, look_up, preparation_of
from bench.spec import EMBEDDED_WEIGHTS, MethodSpec, RunSpec

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


def read_request(request: Request) -> Experiment:
    """Check a request without touching the data.

    Raises: ValueError with one sentence for the user.
    """
    names = parse_names(request.datasets, datasets.names(), "--datasets")
    for name in names:
        if not datasets.is_datalist(name):
            datasets.check_name(name)
    asked = parse_methods(request.methods)
    has_data = request.data_root is not None or any(map(datasets.is_datalist, names))
    preset = get_preset(request.preset or ("quick" if has_data else "demo"))
    if preset.phantom is None and not has_data:
        raise SpecError(f"preset '{request.preset}' needs your own data: give --data-root (or use --preset demo)")
    protocol = _limit_trials(_build_protocol(preset.protocol, request), preset.trial_epochs)
    phantom = None if has_data else preset.phantom
    single = len(names) == 1
    roots = dict(_find_root(name, request, single=single, phantom=not has_data) for name in names)
    folds = parse_numbers(request.folds, "--folds", upper=protocol.data.n_folds)
    seeds = parse_numbers(request.seeds, "--seeds")
    from bench.feasibility import check_methods  # the first step that imports torch

    built = [methods.build(spec.name, dict(spec.settings)) for spec in asked]
    check_methods(built, protocol)
    pairs = zip(asked, built, strict=True)
    method_specs = dict.fromkeys(MethodSpec(spec.name, methods.changed_settings(method)) for spec, method in pairs)
    return Experiment(
        tuple(method_specs),
        roots,
        tuple(folds),
        tuple(seeds),
        protocol,
        phantom,
        request.out,
        skip_bad_cases=request.skip_bad_cases,
        shots=tuple(parse_numbers(request.shots, "--shots")) if request.shots is not None else (),
        tuned=preset.tuned_file if phantom and protocol == preset.protocol else None,
    )


def lay_out(experiment: Experiment, on_case: OnCase) -> list[RunSpec]:
    """Return the cells of the grid; gets the weights first, and writes phantoms if the experiment has no data.

    Raises: DataError if a root does not hold the data set, or holds cases that cannot be used, unless the experiment
    skips them; ValueError if the weights cannot be had or read.
    """
    model = experiment.protocol.model
    sha256 = registry.check_weights(model.backbone, model.weights, experiment.protocol.data.patch[1:])
    data = experiment.protocol.data
    sources = []
    for name, root in experiment.roots.items():
        if experiment.phantom is not None:
            _write_phantoms(name, root, experiment.phantom, on_case)
        on_read = partial(on_case, f"reading {name}")
        sources.append(look_up(name, root, experiment.out / "cache", data, on_read, skip=experiment.skip_bad_cases))
    check_exclude(experiment.protocol.data.exclude, experiment.roots)
    changing = is_path(model.weights) or model.weights == EMBEDDED_WEIGHTS  # the name does not say what is in them
    cells = (experiment.methods, sources, experiment.folds, experiment.seeds, experiment.protocol)
    runs = expand(*cells, sha256 if changing else "", experiment.shots)
    if experiment.tuned is None:
        return runs
    from bench.tuned import apply_shipped

    return apply_shipped(runs, experiment.tuned)


def prepare_data(specs: Sequence[RunSpec], out: Path, on_case: OnCase) -> None:
    """Bring the cases of all data sets into the form that is read during training; what is there already is kept."""
    from datasets.preprocessing import prepare

    for spec in {spec.dataset: spec for spec in specs}.values():
        dataset = datasets.build(spec.dataset, spec.root)
        heard = partial(on_case, f"preparing {spec.dataset}")
        prepare(dataset, find_used(dataset, spec), out / "cache", heard, preparation_of(spec.protocol.data))


def _build_protocol(protocol: Protocol, request: Request) -> Protocol:
    options = {
        "model.backbone": request.backbone,
        "model.weights": request.weights,
        "train.epochs": request.epochs,
        "train.max_steps": request.max_steps,
        "train.precision": request.precision,
    }
    for key, value in options.items():
        if value is not None:
            protocol = override(protocol, f"{key}={value}")
    for assignment in request.set or ():
        protocol = override(protocol, assignment)
    registry.check_fit(protocol.model.backbone, protocol.model.weights, protocol.data.patch[1:])
    return protocol


def _limit_trials(protocol: Protocol, epochs: int) -> Protocol:
    """Return the protocol with the epochs a trial that the preset gives, where there is tuning and nothing is said."""
    tune = protocol.tune
    if (tune.trials or tune.budget_s) and not tune.epochs and epochs < protocol.train.epochs:
        return replace(protocol, tune=replace(tune, epochs=epochs))
    return protocol


def _find_root(name: str, request: Request, *, single: bool, phantom: bool) -> tuple[str, Path]:
    """Return the data set's name, which a datalist says itself, and where it lies."""
    if datasets.is_datalist(name):
        return datasets.open_root(name, Path(name)).info.name, Path(name)
    if phantom:
        return name, request.out / "phantoms" / name
    entries = request.data_root or []
    for entry in entries:
        key, equals, value = entry.partition("=")
        if equals and key == name:
            return name, Path(value)
    plain = [Path(entry) for entry in entries if "=" not in entry]
    for root in plain:
        if (root / name).is_dir():
            return name, root / name
    if plain and single:
        return name, plain[0]
    raise SpecError(f"--data-root: no folder for '{name}' (give --data-root {name}=/path/to/{name})")


def _write_phantoms(name: str, root: Path, phantom: PhantomSpec, on_case: OnCase) -> None:
    from datasets.phantom import write_phantoms

    write_phantoms(
        name,
        root,
        phantom.n_cases,
        shape=phantom.shape,
        on_case=partial(on_case, f"writing {name} phantoms"),
    )
