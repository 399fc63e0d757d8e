"""The run that another run takes its decoder from, and whether it may."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.models import registry
from bench.models.backbones.info import TRAIN
from bench.models.delta import hash_tensors
from bench.run.delta_file import DeltaHeader, read_delta
from bench.specs.protocol import ModelSpec, SpecError
from bench.specs.run import RUNS, Donor
from datasets.base import DatasetInfo
from datasets.overlaps import find_overlaps
from reports.records.run import Status, read_result

OPTION = "--decoder-from"
PREFIX = "decoder."  # of a decoder's tensors in a delta
State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class DonorRun:
    """A finished run with a decoder to give, opened once to check what it is."""

    donor: Donor
    header: DeltaHeader
    held_out: frozenset[str]  # the only cases of its data set that it has not seen
    shapes: Mapping[str, torch.Size]  # of its decoder's tensors


def check_given(mode: str, *, is_given: bool) -> None:
    """Raise SpecError if a decoder that does not train as a whole has nowhere to come from."""
    if mode != TRAIN and not is_given:
        rule = f"model.decoder_mode={mode} needs the decoder of a run that is done"
        raise SpecError(f"{OPTION}: {rule}, got none (give {OPTION} RUN)")


def find_donor(text: str, out: Path, model: ModelSpec) -> DonorRun:
    """Return the run that ``--decoder-from`` names: its folder, or its id below ``--out``.

    Raises: ValueError with a sentence for the user if there is no such run, if it is not done, or
    if its decoder is none for the network that ``model`` describes.
    """
    folder = Path(text) if Path(text).is_dir() else out / RUNS / text
    result = read_result(folder)
    if result is None:
        rule = "must be the folder of a run, or its id below --out"
        raise SpecError(f"{OPTION}: {rule}, got '{text}' (no result.json in {folder})")
    if result.status != Status.DONE:
        raise SpecError(f"{OPTION}: run {result.run_id} must be done, got {result.status}")
    header, state = read_delta(folder)
    _check_network(header, model)
    decoder = _take_decoder(state)
    donor = Donor(result.run_id, str(folder.resolve()), hash_tensors(decoder))
    held_out = frozenset(row.case for row in result.cases)
    shapes = {name: tensor.shape for name, tensor in decoder.items()}
    return DonorRun(donor, header, held_out, shapes)


def read_decoder(donor: Donor) -> State:
    """Return the tensors of a donor's decoder.

    Raises: ValueError if its delta is missing or damaged, or if it holds another decoder.
    """
    _, state = read_delta(Path(donor.folder))
    decoder = _take_decoder(state)
    if hash_tensors(decoder) != donor.sha256:
        change = "has another decoder than when this run was planned"
        raise ValueError(f"{OPTION}: run {donor.run_id} {change}")
    return decoder


def check_classes(found: DonorRun, info: DatasetInfo) -> None:
    """Raise SpecError if a decoder tells other classes apart than those of a data set."""
    own, wanted = found.header.dataset.classes, info.classes
    if own != wanted:
        rule = f"the decoder must have the classes of {info.name} ({', '.join(wanted)})"
        raise SpecError(f"{OPTION}: {rule}, got {', '.join(own)} from {found.donor.run_id}")


def check_shapes(found: DonorRun, decoder: torch.nn.Module) -> None:
    """Raise SpecError if a decoder lacks tensors of the donor's, or has them in other shapes."""
    wanted = {name: tensor.shape for name, tensor in decoder.state_dict().items()}
    for name in [*wanted, *found.shapes]:
        own, needed = found.shapes.get(name), wanted.get(name)
        if own != needed:
            rule = f"the decoder's {name} must have shape {_describe_shape(needed)} for this patch"
            got = f"{_describe_shape(own)} from {found.donor.run_id}"
            raise SpecError(f"{OPTION}: {rule}, got {got}")


def check_unseen(
    found: DonorRun, dataset: str, asked: Collection[int], held_out: Mapping[int, Collection[str]]
) -> None:
    """Check that a donor has neither trained on the cases that runs are scored on, nor selected.

    Args:
        dataset: the release, or the name of the datalist, that the runs are of.
        asked: the folds of the runs.
        held_out: the ids of the held-out cases of every fold that there is.

    Raises: SpecError if it has, or if that cannot be told.
    """
    trained_on = found.header.spec.dataset
    run_id = found.donor.run_id
    relation = find_overlaps(dataset).get(trained_on)
    if relation:
        rule = "a decoder must not have seen held-out cases"
        got = f"run {run_id} on {trained_on}; {dataset} {relation} {trained_on}"
        raise SpecError(f"{OPTION}: {rule}, got {got} (take a run on other data)")
    if trained_on != dataset:
        return
    unseen = {fold: found.held_out.issuperset(cases) for fold, cases in held_out.items()}
    bad = [fold for fold in asked if not unseen.get(fold, True)]
    if bad:
        good = [str(fold) for fold, is_unseen in unseen.items() if is_unseen]
        hint = f"--folds {','.join(good)}" if good else "no fold is left; take a run on other data"
        rule = "a decoder must not have seen held-out cases"
        got = f"fold {bad[0]} of {dataset}, whose cases run {run_id} has trained on or selected by"
        raise SpecError(f"{OPTION}: {rule}, got {got} ({hint})")


def _check_network(header: DeltaHeader, model: ModelSpec) -> None:
    spec = header.spec
    if spec.method.is_reference:
        got = f"{spec.run_id} of {spec.method}, which is trained whole"
        raise SpecError(f"{OPTION}: the run must have a decoder on a backbone, got {got}")
    if spec.donor is not None:
        got = f"{spec.run_id}, which has it from {spec.donor.run_id}"
        hint = "name that run"
        raise SpecError(f"{OPTION}: the run must have trained its own decoder, got {got} ({hint})")
    own = spec.protocol.model
    if own.backbone != model.backbone:
        got = f"that of {own.backbone} from {spec.run_id}"
        raise SpecError(f"{OPTION}: must be a decoder of {model.backbone}, got {got}")
    given = registry.get_decoder(own.decoder, own.backbone).name
    wanted = registry.get_decoder(model.decoder, model.backbone).name
    if given != wanted:
        got = f"{given} from {spec.run_id} (--decoder {given} takes it)"
        raise SpecError(f"{OPTION}: the decoder must be {wanted}, got {got}")


def _take_decoder(state: Mapping[str, torch.Tensor]) -> State:
    named = {name: state[name] for name in state if name.startswith(PREFIX)}
    return {name.removeprefix(PREFIX): tensor for name, tensor in named.items()}


def _describe_shape(shape: torch.Size | None) -> str:
    return "x".join(map(str, shape)) or "()" if shape is not None else "(none)"
