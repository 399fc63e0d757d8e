"""From what was typed to a checked experiment, without reading data, and from there to its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

import datasets
from bench.cli.display.cases import case_progress
from bench.cli.display.options import OutputRequest
from bench.cli.options import Request
from bench.cli.planning.sizes import match_sizes
from bench.grid.answers import answer_by_forks
from bench.grid.cells import parse_methods, parse_names, parse_numbers
from bench.grid.feasibility import check_methods
from bench.grid.plan import Experiment, Plan, lay_out
from bench.models import registry
from bench.specs import lookup
from bench.specs.presets import Preset, get_preset
from bench.specs.protocol import Protocol, SpecError, override, read_rates
from bench.specs.run import EMBEDDED_WEIGHTS, TRAINED_DECODER, MethodSpec
from bench.tuning.tuned_values import apply_shipped
from datasets.nnunet.naming import is_folder_name
from datasets.phantoms.layouts import name_demo_release
from reports.formats.terminal import escape

if TYPE_CHECKING:
    from bench.run.donor import DonorRun


def read_request(request: Request, *, by_forks: bool = False) -> Experiment:
    """Check a request without touching the data; raise ValueError with a sentence for the user.

    ``by_forks``: the command needs torch anyway, and imports it here.
    """
    names = parse_names(request.datasets, datasets.names(), "--datasets")
    for name in names:
        if not datasets.is_datalist(name):
            datasets.check_name(name)
    names = datasets.name_releases(names, read_releases(request.release))
    asked = parse_methods(request.methods)
    has_data = request.data_root is not None or any(map(datasets.is_datalist, names))
    _check_has_root(names, has_data=has_data)
    preset = _choose_preset(request.preset, has_data=has_data)
    protocol = _limit_trials(_build_protocol(preset.protocol, request), preset.trial_epochs)
    donor = _find_donor(request, asked, protocol)
    phantom = None if has_data else preset.phantom
    if has_data:
        roots = _find_roots(names, request.data_root or ())
        _check_present(roots)
    else:
        roots = {name: request.out / "phantoms" / name for name in map(name_demo_release, names)}
    folds = parse_numbers(request.folds, "--folds", upper=protocol.data.n_folds)
    seeds = parse_numbers(request.seeds, "--seeds")
    if not all(spec.is_reference for spec in asked):
        model = protocol.model
        registry.check_fit(model.backbone, model.weights, protocol.data.patch[1:])
    notes: list[str] = []
    if request.match_params is not None:
        asked, notes = match_sizes(asked, request.match_params, protocol, roots)
    if by_forks:
        answer_by_forks()
    checked = check_methods(asked, protocol)
    shots = [] if request.shots is None else parse_numbers(request.shots, "--shots")
    unchanged = phantom is not None and protocol == preset.protocol
    return Experiment(
        checked,
        roots,
        tuple(folds),
        tuple(seeds),
        protocol,
        phantom,
        request.out,
        skip_bad_cases=request.skip_bad_cases,
        shots=tuple(shots),
        tuned=preset.tuned_file if unchanged else None,
        notes=tuple(notes),
        donor=donor,
    )


def read_releases(text: str | None) -> list[str]:
    """Return the releases that an option lists; none where it is not given."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def warn_about_synthetic_inputs(experiment: Experiment, console: Console) -> None:
    """Print a line for data and weights that are not real, and for what was chosen."""
    for note in experiment.notes:
        console.print(escape(note), soft_wrap=True)
    weights = experiment.protocol.model.weights
    if experiment.phantom is not None:
        console.print("[yellow]no --data-root: the data are SYNTHETIC phantoms, not patients[/]")
    if weights == "none":
        console.print("[yellow]weights: none, the backbone starts from random numbers[/]")
    if weights == EMBEDDED_WEIGHTS:
        origin = "(embedded), pre-trained on images drawn from formulas"
        console.print(f"[yellow]weights: formula-vit {origin}[/]")


def lay_out_runs(
    experiment: Experiment, console: Console, output: OutputRequest | None = None
) -> Plan:
    """Return the plan of an experiment, with the values that the preset ships where they hold.

    A root whose release the names of its files do not tell is warned of.
    Raises: as `lay_out`.
    """
    with case_progress(console, output) as on_case:
        plan = lay_out(experiment, on_case)
    for source in plan.sources:
        for problem in source.dataset.discovery.problems:
            if problem.is_warning and not problem.case:  # of the root: its release is a guess
                console.print(f"[yellow]{escape(problem.message)}[/]", soft_wrap=True)
    if experiment.tuned is None:
        return plan
    return replace(plan, runs=tuple(apply_shipped(plan.runs, experiment.tuned)))


def _check_has_root(names: Sequence[str], *, has_data: bool) -> None:
    folders = [name for name in names if is_folder_name(name)]
    if folders and not has_data:
        hint = f"give --data-root, the folder {folders[0]} or the one that it is in"
        raise SpecError(f"--data-root: {folders[0]} is a raw folder of nnU-Net ({hint})")


def _choose_preset(name: str | None, *, has_data: bool) -> Preset:
    preset = get_preset(name or ("quick" if has_data else "demo"))
    if preset.phantom is None and not has_data:
        hint = "give --data-root (or use --preset demo)"
        raise SpecError(f"preset '{name}' needs your own data: {hint}")
    return preset


def _find_donor(
    request: Request, asked: Sequence[MethodSpec], protocol: Protocol
) -> DonorRun | None:
    """Return the run whose decoder all runs begin with; None if each begins with its own."""
    text, mode = request.decoder_from, protocol.model.decoder_mode
    if text is None and mode == TRAINED_DECODER:
        return None
    from bench.run.donor import check_given, find_donor  # imports torch

    whole = [str(spec) for spec in asked if spec.is_reference]
    if whole:
        rule = "every method must be put into a backbone"
        hint = "run reference networks by a command of their own: tables put them beside"
        raise SpecError(f"--decoder-from: {rule}, got {', '.join(whole)} ({hint})")
    check_given(mode, is_given=text is not None)
    return find_donor(str(text), request.out, protocol.model)


def _build_protocol(protocol: Protocol, request: Request) -> Protocol:
    options = {
        "model.backbone": request.backbone,
        "model.weights": request.weights,
        "model.decoder": request.decoder,
        "train.epochs": request.epochs,
        "train.max_steps": request.max_steps,
        "train.precision": request.precision,
    }
    for key, value in options.items():
        if value is not None:
            protocol = override(protocol, f"{key}={value}")
    for assignment in request.set or ():
        protocol = override(protocol, assignment)
    for name in read_rates(protocol.train.method_lr):
        lookup.check_name(name)
    registry.get_decoder(protocol.model.decoder, registry.check_name(protocol.model.backbone))
    return protocol


def _limit_trials(protocol: Protocol, epochs: int) -> Protocol:
    """Return the protocol with the preset's epochs a trial, if it tunes and gives none itself."""
    tune = protocol.tune
    if (tune.trials or tune.budget_s) and not tune.epochs and epochs < protocol.train.epochs:
        return replace(protocol, tune=replace(tune, epochs=epochs))
    return protocol


def _find_roots(names: Sequence[str], entries: Sequence[str]) -> dict[str, Path]:
    """Return the folder or datalist of each data set, by its name."""
    _check_keys(names, entries)
    roots: dict[str, Path] = {}
    used: list[str] = []
    for name in names:
        if datasets.is_datalist(name):  # which holds its own name
            own, root = datasets.open_root(name, Path(name)).info.name, Path(name)
        else:
            entry, root = _find_root(name, entries, single=len(names) == 1)
            used.append(entry)
            own = name
        if own in roots:
            raise SpecError(f"--datasets: {roots[own]} and {root} have one name, {own}")
        roots[own] = root
    for entry in entries:
        if entry not in used:
            rule = f"each must be the folder of one of --datasets {','.join(names)}"
            hint = "it is of none of them, or of one that has another folder"
            raise SpecError(f"--data-root: {rule}, got '{entry}' ({hint})")
    return roots


def _check_present(roots: Mapping[str, Path]) -> None:
    """Raise DataError if a folder is missing, which is said before weights are looked for."""
    for name, root in roots.items():
        if not root.exists():
            _ = datasets.open_root(name, root).discovery


def _check_keys(names: Sequence[str], entries: Sequence[str]) -> None:
    for entry in entries:
        key = _split_entry(entry)[0]
        if key and entry == f"{key}=":
            raise SpecError(f"--data-root: {key} must have a folder, got '{entry}'")
        if key and key not in (*names, *map(datasets.family_of, names)):
            rule = f"NAME=FOLDER must name one of --datasets {','.join(names)}"
            raise SpecError(f"--data-root: {rule}, got '{entry}'")


def _find_root(name: str, entries: Sequence[str], *, single: bool) -> tuple[str, Path]:
    """Return the entry and the folder of a data set that is named or, if single, the plain one."""
    for wanted in (name, datasets.family_of(name)):
        for entry in entries:
            key, root = _split_entry(entry)
            if key == wanted:
                return entry, root
    plain = [entry for entry in entries if not _split_entry(entry)[0]]
    for entry in plain:
        if (Path(entry) / name).is_dir():
            return entry, Path(entry) / name
    if plain and single:
        return plain[0], Path(plain[0])
    hint = f"give --data-root {name}=/path/to/{name}"
    raise SpecError(f"--data-root: no folder for '{name}' ({hint})")


def _split_entry(entry: str) -> tuple[str, Path]:
    """Return name and folder of ``NAME=FOLDER``; of a plain folder an empty name."""
    key, equals, folder = entry.partition("=")
    if not equals or "/" in key or Path(entry).exists():
        return "", Path(entry)
    return key, Path(folder)
