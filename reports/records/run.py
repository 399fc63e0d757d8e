"""What a run leaves behind. Plain data: neither torch nor MLflow is needed to read it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from math import nan
from pathlib import Path
from typing import Any, ClassVar

from datasets.files import adapter_of, parse_record, read_text, write_durably
from reports.records.cost import Cost
from reports.records.metrics import METRICS
from reports.records.plain import INLINE, Number, to_plain
from reports.records.release import ReleaseRecord

SCHEMA_VERSION = 2
RESULT_FILE = "result.json"
DAMAGED = "the file is damaged: repeat the run with --force, or remove the file"
METHOD, REFERENCE = "method", "reference"  # what a run trained
STUDY_NAME = re.compile(r"-f(\d+)(?:-shots\d+)?#\d+$")  # the end of "brats-lora-tiny_vit-f0#3"


class Status(StrEnum):
    """How a run ended."""

    DONE = "done"
    FAILED = "failed"
    DIVERGED = "diverged"
    OOM = "oom"
    SKIPPED = "skipped"
    TIMEOUT = "timeout"


@dataclass(frozen=True)
class CaseScore:
    """One case x region of the held-out fold."""

    case: str
    region: str
    dice: Number  # fraction in [0, 1]; nan where the empty policy leaves it undefined
    hd95_mm: Number  # nan where the empty policy leaves it undefined, or the spacing is not known
    n_reference_vox: int
    n_predicted_vox: int
    n_common_vox: int = 0  # in both masks
    nsd: Number = nan  # surface Dice at ``nsd_tolerance_mm``, fraction in [0, 1]; nan as hd95_mm
    nsd_tolerance_mm: Number = nan
    reference_ml: Number = nan
    predicted_ml: Number = nan
    # Values of the registered metrics that have no field above, by name.
    further: Mapping[str, Number] = field(default_factory=dict, hash=False, metadata=INLINE)

    def score(self, metric: str) -> float:
        """Return the value of a registered metric; nan if the record is older than the metric."""
        if metric in self.further:
            return self.further[metric]
        return getattr(self, metric, nan)

    def with_scores(self, scores: Mapping[str, float]) -> CaseScore:
        own: dict[str, Any] = {name: scores[name] for name in scores if hasattr(self, name)}
        others = {name: scores[name] for name in scores if name not in own}
        return replace(self, **own, further={**self.further, **others})

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(_gather_further, handler(source))


@dataclass(frozen=True)
class _Versioned:
    """The field of a result that says how to read the others."""

    schema_version: Any = None


SCORE_FIELDS = tuple(item.name for item in fields(CaseScore) if item.name != "further")


def list_further() -> list[str]:
    """Return the names of the registered metrics that `CaseScore` keeps in ``further``."""
    return [name for name in METRICS if name not in SCORE_FIELDS]


def _gather_further(raw: Any) -> Any:
    if not isinstance(raw, dict):
        return raw
    record = dict(raw)
    further = {name: record.pop(name) for name in list_further() if name in record}
    return record | {"further": further} if further else raw


@dataclass(frozen=True)
class PostProcessing:
    """The scores of a region with small predictions taken as none; the run's are without it."""

    region: str
    min_vox: int  # a prediction with fewer voxels is taken as none
    tried: tuple[tuple[int, Number], ...]  # candidates with their mean inner validation Dice
    cases: tuple[CaseScore, ...]


@dataclass(frozen=True)
class EpochRecord:
    """One line of the learning curve; ``val_dice`` is None in epochs without validation."""

    epoch: int
    train_loss: Number  # mean over the steps of the epoch
    learning_rate: float  # of what trains in the backbone
    val_dice: float | None
    decoder_learning_rate: float | None = None  # None in records of the time of one rate for all


@dataclass(frozen=True)
class RunResult:
    """The durable record of one run, stored as ``result.json`` in the run's folder."""

    run_id: str
    status: Status
    reason: str  # empty when done; otherwise one sentence
    method: str  # name
    settings: dict[str, Any]  # the method's settings, defaults included
    label: str  # how tables name the method: name plus the settings that differ from the default
    dataset: str  # its release, such as brats2020; in results before there were any, "brats"
    backbone: str
    weights: str
    fold: int
    seed: int
    protocol_id: str
    protocol: dict[str, Any]
    synthetic: bool
    regions: tuple[str, ...] = ()
    cases: tuple[CaseScore, ...] = ()
    empty_policy: str = ""  # by which the scores of empty masks were decided
    postprocessing: PostProcessing | None = None
    curve: tuple[EpochRecord, ...] = ()
    best_epoch: int | None = None
    cost: Cost | None = None
    split_hash: str = ""
    data_fingerprint: str = ""
    weights_sha256: str = ""  # of the pre-trained file; empty for random weights
    chosen_sha256: str = ""  # of the chosen delta, written before the held-out cases were opened
    test_reads: int = 0  # how often the held-out cases were opened
    # How often it was cut off and went on from a checkpoint. Times, energy and memory of the cost
    # are of all its processes, without what was lost. 0 in older records: they began anew.
    interruptions: int = 0
    reload_max_abs_diff: float | None = None  # logits, backbone + stored delta against trained
    study: str = ""  # the tuning study and trial that chose the settings, as "study#trial"
    data_note: str = ""  # what a reader must know of the volumes, by the data set itself
    study_fold: int | None = None  # the fold on whose training part; None where nothing was tuned
    group: str = ""  # the `run` command that asked for this run
    release: ReleaseRecord | None = None  # None for a datalist, and where it was not recorded
    kind: str = METHOD  # or `REFERENCE`: a network that is trained whole, without a backbone
    family: str = ""  # what methods have in common; empty for networks, and in older records
    year: int | None = None  # of the method's paper
    provenance: dict[str, Any] = field(default_factory=dict)
    traceback: str = ""
    schema_version: int = SCHEMA_VERSION

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}

    @property
    def dataset_title(self) -> str:
        """How tables name the data set."""
        return self.release.title if self.release else self.dataset

    @property
    def tuned_on(self) -> int | None:
        """The fold whose training part chose the settings; None: not tuned, or not recorded."""
        if self.study_fold is not None or not self.study:
            return self.study_fold
        found = STUDY_NAME.search(self.study)  # records without the field have it in the name
        return int(found[1]) if found else None

    @property
    def n_devices(self) -> int:
        """How many devices shared the run; records without the number are of one."""
        found = self.provenance.get("n_devices")
        return found if isinstance(found, int) else 1

    @property
    def is_compiled(self) -> bool:
        """Whether torch.compile compiled the network; in records without the field it did not."""
        return self.provenance.get("compiled") is True

    def write(self, folder: Path) -> Path:
        """Write ``result.json`` into ``folder``, whole or not at all; raises as `to_json`."""
        write_durably(folder / RESULT_FILE, self.to_json())
        return folder / RESULT_FILE

    def to_json(self) -> str:
        """Return the text of ``result.json``: strictly valid JSON, in which nan is null.

        Raises: ValueError that names the field of an infinite or unfitting value.
        """
        text = json.dumps(to_plain(self, "result"), indent=1, allow_nan=False)
        parse_record(text, RunResult, "result", "it could not be read again")
        return text

    @staticmethod
    def from_json(text: str, source: str = "result") -> RunResult:
        """Return the result that `to_json` gave; ``source`` says in errors where the text is from.

        Raises: ValueError if the text is damaged or of another schema version.
        """
        version = parse_record(text, _Versioned, source, DAMAGED).schema_version
        if version != SCHEMA_VERSION:
            rule = f"{source}: schema version must be {SCHEMA_VERSION}, got {version}"
            hint = "or read it with the version of this program that wrote it"
            raise ValueError(f"{rule} (repeat the run with --force, {hint})")
        return parse_record(text, RunResult, source, DAMAGED)


def read_result(folder: Path) -> RunResult | None:
    """Return the result in a run's folder, or None if the run has not ended.

    Raises: ValueError naming the file if it is damaged or of another schema version.
    """
    file = folder / RESULT_FILE
    return RunResult.from_json(read_text(file, DAMAGED), str(file)) if file.is_file() else None


def describe_schema() -> dict[str, Any]:
    """Return the JSON schema of ``result.json``; the fields of `CaseScore.further` may lack."""
    schema: dict[str, Any] = adapter_of(RunResult).json_schema(mode="serialization")
    scores = schema["$defs"]["CaseScore"]["properties"]
    number = scores["dice"]
    del scores["further"]
    for record in (schema, *schema["$defs"].values()):
        if "properties" in record:
            record["required"] = list(record["properties"])
            for each in record["properties"].values():
                each.pop("title", None)
                each.pop("default", None)
    scores |= dict.fromkeys(list_further(), number)  # older results lack them
    schema["properties"]["schema_version"] = {"const": SCHEMA_VERSION}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
