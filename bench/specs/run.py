"""One run of the grid: which cell of it, under which protocol, and where it computes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import methods
from bench.specs.protocol import Protocol, override
from methods.execution import PLAIN, Execution
from reports.records.cell import Cell

if TYPE_CHECKING:
    from methods.base import Method

EMBEDDED_WEIGHTS = "formula-vit"  # what ships with the package


@dataclass(frozen=True)
class MethodSpec:
    """A method by name with the settings that were asked for (defaults are not listed)."""

    name: str
    settings: tuple[tuple[str, str], ...] = ()

    def build(self) -> Method:
        """Return the method.

        Raises: ValueError if the name, a setting's name or its value is wrong.
        """
        return methods.build(self.name, dict(self.settings))

    def __str__(self) -> str:
        """Return the form that ``--methods`` accepts."""
        inner = ",".join(f"{key}={value}" for key, value in self.settings)
        return f"{self.name}[{inner}]" if inner else self.name


@dataclass(frozen=True)
class RunSpec:
    """One cell of the grid. ``root`` is where the data lie; what they are is ``fingerprint``.

    ``weights_sha256`` is what the file of weights is, where ``protocol.model.weights`` does not say
    it: a path only tells its place, and another version of the package may embed others. ``chosen``
    are fields of the protocol that a tuning study has set for this method, and ``study`` says
    which: methods that had the same budget are compared with the values that each has chosen.
    ``left_out`` are the cases that cannot be used, each with the reason. ``splits_sha256`` is what
    the file of folds is, if the folds come from one. ``group`` is the command that asked for the
    run; it has no influence on the result, as ``root`` has none.
    """

    method: MethodSpec
    dataset: str
    fingerprint: str
    fold: int
    seed: int
    protocol: Protocol
    root: Path
    weights_sha256: str = ""
    chosen: tuple[tuple[str, str], ...] = ()
    study: str = ""  # "name#trial"
    left_out: tuple[tuple[str, str], ...] = ()
    group: str = ""
    splits_sha256: str = ""

    @property
    def cell(self) -> Cell:
        """The cell of the grid that the run belongs to."""
        return Cell(
            method=str(self.method),
            dataset=self.dataset,
            backbone=self.protocol.model.backbone,
            weights=self.weights_label,
            fold=self.fold,
            shots=self.protocol.data.shots,
        )

    @property
    def own_protocol(self) -> Protocol:
        """The protocol with the values that tuning has chosen for this run's method."""
        protocol = self.protocol
        for key, value in self.chosen:
            protocol = override(protocol, f"{key}={value}")
        return protocol

    @property
    def seeds(self) -> dict[str, int]:
        """The seeds of a run's random streams; methods share all but their own, on purpose."""
        return {
            "model": derive_seed("model", self.seed),  # random weights, the decoder
            "method": derive_seed("method", self.seed),  # what the method inserts
            "data": derive_seed(
                "data", self.dataset, self.fold, self.seed
            ),  # patches and augmentation
            "train": derive_seed("train", self.seed),  # dropout
        }

    @property
    def run_id(self) -> str:
        """A readable name that is equal exactly for runs that must give the same result."""
        cell = [
            str(self.method),
            self.dataset,
            self.fold,
            self.seed,
            self.protocol_id,
            *self.chosen,
        ]
        slug = (
            str(self.method).replace("[", "-").replace("]", "").replace(",", "-").replace(":", "-")
        )
        return f"{self.dataset}-{slug}-f{self.fold}-s{self.seed}-{digest(cell)}"

    @property
    def protocol_id(self) -> str:
        """Short hash of everything that must be equal for a comparison."""
        return digest(self.protocol_record())

    def protocol_record(self) -> dict[str, Any]:
        """Return the protocol as nested plain data, with the data it is applied to."""
        record = asdict(self.protocol) | {
            "dataset": {"name": self.dataset, "fingerprint": self.fingerprint}
        }
        if self.left_out:
            record["dataset"]["left_out"] = [case for case, _ in self.left_out]
        record["data"]["splits"] = f"sha256:{self.splits_sha256}" if self.splits_sha256 else "rule"
        if self.weights_sha256:
            record["model"]["weights"] = f"sha256:{self.weights_sha256}"
        return record

    @property
    def weights_label(self) -> str:
        """How tables name the weights: by name, a file by its name and the start of its SHA-256."""
        weights = self.protocol.model.weights
        if weights == EMBEDDED_WEIGHTS:
            return f"{weights} (embedded)"
        return f"{Path(weights).name}@{self.weights_sha256[:8]}" if self.weights_sha256 else weights


@dataclass(frozen=True)
class Place:
    """Where a run computes and writes; it has no influence on what is computed, but for the last bits of a float."""

    folder: Path
    cache: Path
    device: str  # "cpu", "cuda:0", "mps"
    threads: int
    execution: Execution = PLAIN


def digest(value: object) -> str:
    """Return the first 8 hex digits of the SHA-256 of a plain value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def derive_seed(*components: str | int) -> int:
    """Return a seed that depends on these components alone, so that runs share randomness exactly where they should."""
    return int(digest(components), 16) % 2**31
