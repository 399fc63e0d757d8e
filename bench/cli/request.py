"""From what was typed to a checked experiment; no data are read here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import datasets
import methods
from bench.cli.options import Request
from bench.grid.cells import parse_methods, parse_names, parse_numbers
from bench.grid.plan import Experiment
from bench.models import registry
from bench.specs.presets import get_preset
from bench.specs.protocol import Protocol, SpecError, override
from bench.specs.run import MethodSpec


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
        raise SpecError(
            f"preset '{request.preset}' needs your own data: give --data-root (or use --preset demo)"
        )
    protocol = _limit_trials(_build_protocol(preset.protocol, request), preset.trial_epochs)
    phantom = None if has_data else preset.phantom
    single = len(names) == 1
    roots = dict(_find_root(name, request, single=single, phantom=not has_data) for name in names)
    folds = parse_numbers(request.folds, "--folds", upper=protocol.data.n_folds)
    seeds = parse_numbers(request.seeds, "--seeds")
    from bench.models.contract import check_methods  # the first step that imports torch

    built = [spec.build() for spec in asked]
    check_methods(built, protocol.model.backbone, protocol.data.patch)
    pairs = zip(asked, built, strict=True)
    method_specs = dict.fromkeys(
        MethodSpec(spec.name, methods.changed_settings(method)) for spec, method in pairs
    )
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
    raise SpecError(
        f"--data-root: no folder for '{name}' (give --data-root {name}=/path/to/{name})"
    )
