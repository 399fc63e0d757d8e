"""One run of the grid: its cell, its protocol, and where it computes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
from bench.specs import lookup
from bench.specs.protocol import Protocol, override, read_rates
from datasets.files import file_name_of
from methods.execution import PLAIN, Execution
from reports.records.study import Cell

if TYPE_CHECKING:
    from methods.base import Contender

EMBEDDED_WEIGHTS = "formula-vit"  # what ships with the package
NO_BACKBONE = "none"  # in the place of a backbone and of its weights, where there is none
TRAINED_DECODER = "train"  # of model.decoder_mode; records without the field mean it
RUNS, COMMANDS = "runs", "commands"  # folders in the one that ``--out`` names
DELTA_FILE = "delta.safetensors"  # in a run's folder: what it trained
SLUG = str.maketrans({"[": "-", "]": "", ",": "-", ":": "-"})


@dataclass(frozen=True)
class MethodSpec:
    """A method, or a reference network, by name with the settings that were asked for.

    Defaults are not listed.
    """

    name: str
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def is_reference(self) -> bool:
        """Whether a network is trained whole, without a backbone."""
        return lookup.is_reference(self.name)

    def build(self) -> Contender:
        """Raises: ValueError if the name, a setting's name or its value is wrong."""
        return lookup.build(self.name, dict(self.settings))

    def __str__(self) -> str:
        """Return the form that ``--methods`` accepts."""
        inner = ",".join(f"{key}={value}" for key, value in self.settings)
        return f"{self.name}[{inner}]" if inner else self.name


@dataclass(frozen=True)
class Donor:
    """A finished run whose decoder other runs begin with."""

    run_id: str
    folder: str
    sha256: str  # of its decoder's tensors, by which alone it has an influence on a result


@dataclass(frozen=True)
class RunSpec:
    """One run, as plain data; ``root`` and ``group`` have no influence on its result."""

    method: MethodSpec
    dataset: str  # its release, such as brats2020, or the name of a datalist
    fingerprint: str  # of the data that are used
    fold: int
    seed: int
    protocol: Protocol
    root: Path  # of the data: a folder or a datalist
    weights_sha256: str = ""  # where the name of the weights does not say what is in them
    chosen: tuple[tuple[str, str], ...] = ()  # fields of the protocol that tuning set
    study: str = ""  # that chose them, as "name#trial"
    study_fold: int | None = None  # on whose training part
    edges: tuple[str, ...] = ()  # those of its values that are at an end of what was searched
    left_out: tuple[tuple[str, str], ...] = ()  # case that cannot be used, and reason
    group: str = ""  # the command that asked for the run
    splits_sha256: str = ""  # of the file of folds, if there is one
    scaling: str = ""  # of intensities, where the names of the channels decide it
    donor: Donor | None = None  # of the decoder; None: it starts from random numbers

    @property
    def cell(self) -> Cell:
        """The cell of the grid that the run belongs to."""
        shots = self.protocol.data.shots
        weights = self.weights_label
        return Cell(str(self.method), self.dataset, self.backbone, weights, self.fold, shots)

    @property
    def backbone(self) -> str:
        """The name of the backbone, `NO_BACKBONE` for a reference network."""
        return NO_BACKBONE if self.method.is_reference else self.protocol.model.backbone

    @property
    def own_protocol(self) -> Protocol:
        """The protocol with the rate that it gives this method, and what tuning chose."""
        protocol = self.protocol
        rate = read_rates(protocol.train.method_lr).get(self.method.name)
        if rate is not None:
            train = replace(protocol.train, lr=rate, decoder_lr=rate)
            protocol = replace(protocol, train=train)
        for key, value in self.chosen:
            protocol = override(protocol, f"{key}={value}")
        return protocol

    @property
    def seeds(self) -> dict[str, int]:
        """The seeds of a run's random streams; methods share all but their own, on purpose."""
        family = datasets.family_of(self.dataset)
        return {
            "model": derive_seed("model", self.seed),  # random weights, the decoder
            "method": derive_seed("method", self.seed),  # what the method inserts
            "data": derive_seed("data", family, self.fold, self.seed),  # patches
            "train": derive_seed("train", self.seed),  # dropout
        }

    @property
    def run_id(self) -> str:
        """A readable name that is equal exactly for runs that must give the same result."""
        method = str(self.method)
        parts = [method, self.dataset, self.fold, self.seed, self.protocol_id, *self.chosen]
        slug = method.translate(SLUG)
        name = f"{self.dataset}-{slug}-f{self.fold}-s{self.seed}-{digest(parts)}"
        return file_name_of(name)

    @property
    def protocol_id(self) -> str:
        """Short hash of everything that must be equal for a comparison."""
        return digest(self.protocol_record())

    def protocol_record(self) -> dict[str, Any]:
        """Return the protocol as nested plain data, with the data it is applied to.

        Of a reference network it lacks the section ``model``: one run serves for all backbones.
        """
        record = self.protocol.record()
        record["dataset"] = {"name": self.dataset, "fingerprint": self.fingerprint}
        if self.scaling:
            record["dataset"]["scaling"] = self.scaling
        if self.left_out:
            record["dataset"]["left_out"] = [case for case, _ in self.left_out]
        record["data"]["splits"] = f"sha256:{self.splits_sha256}" if self.splits_sha256 else "rule"
        if self.method.is_reference:
            del record["model"]
            return record
        if self.weights_sha256:
            record["model"]["weights"] = f"sha256:{self.weights_sha256}"
        _describe_decoder(record, self.donor)
        return record

    @property
    def weights_label(self) -> str:
        """How tables name the weights: by name, a file by its name and the start of its SHA-256."""
        weights = self.protocol.model.weights
        if self.method.is_reference:
            return NO_BACKBONE
        if weights == EMBEDDED_WEIGHTS:
            return f"{weights} (embedded)"
        if self.weights_sha256:
            return f"{Path(weights).name}@{self.weights_sha256[:8]}"
        return weights


def _describe_decoder(record: dict[str, Any], donor: Donor | None) -> None:
    """Keep what a decoder begins with and how it trains, unless both are as in older records."""
    model = record["model"]
    if donor is not None:
        model["decoder_from"] = f"sha256:{donor.sha256}"
    if model["decoder_mode"] == TRAINED_DECODER:
        del model["decoder_mode"]


@dataclass(frozen=True)
class Team:
    """The processes that share a run.

    Attributes:
        rank: number of this process, from 0.
        size: number of the processes.
        port: on this machine, of the store by which they find each other.
    """

    rank: int
    size: int
    port: int


@dataclass(frozen=True)
class Means:
    """By what means a run is carried out; two of them change bits of its result.

    These are the number of devices and the compiler, which round otherwise.

    Attributes:
        checkpoint_s: between two checkpoints; None: there are none.
        n_devices: that share the run; on a CPU, processes.
        data_workers: threads that read patches ahead; 0: the training waits for each; None: as the
            device and the cores suggest.
        compiled: the network computes as torch.compile has compiled it.
    """

    execution: Execution = PLAIN
    checkpoint_s: float | None = None
    n_devices: int = 1
    data_workers: int | None = None
    compiled: bool = False


USUAL = Means()


@dataclass(frozen=True)
class Place:
    """Where a run computes and writes, and by what means.

    Attributes:
        device: "cpu", "cuda:0" or "mps"; of several, the first. Its kind changes bits of the
            result.
        team: where there are several devices, set in the process of each.
    """

    folder: Path
    cache: Path
    device: str
    means: Means = USUAL
    team: Team | None = None


def list_devices(first: str, n_devices: int) -> list[str]:
    """Return the devices of a run: on GPUs, the first and those that follow it."""
    kind, colon, number = first.partition(":")
    if not colon:
        return [first] * n_devices
    return [f"{kind}:{int(number) + offset}" for offset in range(n_devices)]


def run_folder(out: Path, spec: RunSpec) -> Path:
    """Return the folder of a run below ``--out``."""
    return out / RUNS / spec.run_id


def digest(value: object) -> str:
    """Return the first 8 hex digits of the SHA-256 of a plain value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def derive_seed(*components: str | int) -> int:
    """Return a seed that depends on these components alone."""
    return int(digest(components), 16) % 2**31
