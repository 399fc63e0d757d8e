"""What is asked for: the protocol that all methods share, and one run of it.

Plain frozen data, cheap to import. Everything that decides whether two runs may be compared is a field of `Protocol`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from math import inf
from pathlib import Path
from typing import Any, get_type_hints

SAMPLERS = ("tpe", "gp", "random", "cmaes", "qmc")
PRUNERS = ("median", "wilcoxon", "none")
PROTOCOL_VERSION = 2  # raise when a change of code changes results under the same settings


EMBEDDED_WEIGHTS = "formula-vit"  # what ships with the package


class SpecError(ValueError):
    """A setting that does not exist or cannot be; the message is one sentence for the user."""


@dataclass(frozen=True)
class DataSpec:
    """Which patches the model sees."""

    patch: tuple[int, int, int] = field(default=(16, 64, 64), metadata={"help": "patch size D,H,W in voxels"})
    patches_per_epoch: int = field(default=32, metadata={"help": "training patches drawn per epoch"})
    foreground_frac: float = field(default=0.5, metadata={"help": "fraction of patches centred on a foreground voxel"})
    n_folds: int = field(default=5, metadata={"help": "folds of the patient-level cross-validation"})
    val_frac: float = field(default=0.2, metadata={"help": "fraction of the training patients kept for selection"})
    exclude: str = field(default="", metadata={"help": "preset of cases to leave out, such as nnunet2019 (KiTS19)"})
    spacing_mm: tuple[float, float, float] | None = field(
        default=None, metadata={"help": "resample to this spacing D,H,W in mm; none = keep each case's own"}
    )
    crop: bool = field(default=True, metadata={"help": "cut away what lies around the body or the brain"})
    ct_norm: str = field(
        default="constants",
        metadata={"help": "CT window: constants (known ones) | fingerprint (of the training part)"},
    )
    splits: str = field(
        default="auto", metadata={"help": "file of folds; auto = splits_final.json of the root, else the rule | rule"}
    )
    shots: int = field(default=0, metadata={"help": "train on so many cases and select on no more; 0 = all"})


@dataclass(frozen=True)
class ModelSpec:
    """Which network the methods are put into."""

    backbone: str = field(default="tiny_vit", metadata={"help": "pre-trained 2-D network"})
    weights: str = field(default="none", metadata={"help": "its pre-training; none = random initialisation"})
    also_train: str = field(
        default="decoder",
        metadata={"help": "what trains beside the method: decoder | paper (final norm, position embedding as well)"},
    )
    backbone_mode: str = field(
        default="eval", metadata={"help": "frozen modules: eval (no dropout, no drop path) | train"}
    )


@dataclass(frozen=True)
class TrainSpec:
    """How the trained part is trained."""

    epochs: int = field(default=30, metadata={"help": "passes of data.patches_per_epoch patches"})
    batch: int = field(default=2, metadata={"help": "patches per optimiser step"})
    optimizer: str = field(default="adamw", metadata={"help": "adamw | adam (amsgrad, as in Med-Tuning)"})
    lr: float = field(default=1e-3, metadata={"help": "peak learning rate", "search": (1e-4, 3e-2, "log")})
    weight_decay: float = field(default=1e-2, metadata={"help": "weight decay", "search": (1e-6, 1e-1, "log")})
    warmup_frac: float = field(
        default=0.1,
        metadata={"help": "fraction of the steps with a rising learning rate", "search": (0.0, 0.3, "linear")},
    )
    drop_path: str = field(
        default="own",
        metadata={
            "help": "of the blocks that are in training mode: own (the backbone's) | the rate of the last block",
            "choices": ("own", "0.0", "0.1", "0.2"),
        },
    )
    clip_norm: float = field(default=1.0, metadata={"help": "largest gradient norm"})
    val_every: int = field(default=5, metadata={"help": "epochs between inner validations"})
    max_steps: int = field(default=0, metadata={"help": "stop after this many steps; 0 = all epochs"})
    precision: str = field(default="32-true", metadata={"help": "32-true | bf16-mixed | 16-mixed"})


EMPTY_POLICY_NAMES = ("dataset", "brats", "brats2023", "kits", "lits", "nnunet", "monai", "medtuning")


@dataclass(frozen=True)
class EvalSpec:
    """How a whole volume is segmented and scored."""

    overlap: float = field(default=0.25, metadata={"help": "overlap of sliding windows, fraction of the patch"})
    flips: bool = field(default=False, metadata={"help": "average the prediction over the 8 mirrored volumes"})
    hd95: str = field(
        default="max", metadata={"help": "95th-percentile Hausdorff distance: max of both directions | pooled (medpy)"}
    )
    nsd_tolerance_mm: float = field(default=0.0, metadata={"help": "of the surface Dice; 0 = the data set's own"})
    empty_policy: str = field(
        default="dataset", metadata={"help": f"scores of empty masks: {' | '.join(EMPTY_POLICY_NAMES)}"}
    )
    et_min_vox: str = field(
        default="0",
        metadata={"help": "BraTS: also score with less enhancing tumour than so many voxels taken as core: N | auto"},
    )


@dataclass(frozen=True)
class TuneSpec:
    """The budget that every method gets before its final runs; all zero where nothing is tuned."""

    trials: int = field(default=0, metadata={"help": "trials a method"})
    budget_s: float = field(default=0.0, metadata={"help": "seconds of fit a method, instead of a number of trials"})
    epochs: int = field(default=0, metadata={"help": "epochs of a trial; 0 = train.epochs"})
    sampler: str = field(default="tpe", metadata={"help": "tpe | gp | random | cmaes | qmc"})
    pruner: str = field(default="median", metadata={"help": "median | wilcoxon | none"})
    objectives: str = field(default="dice", metadata={"help": "dice | dice,params (a Pareto front)"})
    per_fold: bool = field(default=False, metadata={"help": "one study a fold; otherwise the first fold's is reused"})
    seed: int = field(default=0, metadata={"help": "of the sampler and of the trials"})


@dataclass(frozen=True)
class Protocol:
    """Everything that must be equal for two runs to be compared."""

    data: DataSpec = DataSpec()
    model: ModelSpec = ModelSpec()
    train: TrainSpec = TrainSpec()
    eval: EvalSpec = EvalSpec()
    tune: TuneSpec = TuneSpec()
    version: int = PROTOCOL_VERSION

    def __post_init__(self) -> None:
        """Raises: SpecError naming the field."""
        checks = {
            "data.patch": (min(self.data.patch) >= 1, ">= 1 on every axis", self.data.patch),
            "data.patches_per_epoch": (self.data.patches_per_epoch >= 1, ">= 1", self.data.patches_per_epoch),
            "data.foreground_frac": (0 <= self.data.foreground_frac <= 1, "in [0, 1]", self.data.foreground_frac),
            "data.n_folds": (self.data.n_folds >= 2, ">= 2", self.data.n_folds),
            "data.val_frac": (0 < self.data.val_frac < 1, "in (0, 1)", self.data.val_frac),
            "data.spacing_mm": (min(self.data.spacing_mm or (1,)) > 0, "positive", self.data.spacing_mm),
            "data.ct_norm": (
                self.data.ct_norm in ("constants", "fingerprint"),
                "constants or fingerprint",
                self.data.ct_norm,
            ),
            "data.shots": (self.data.shots >= 0, ">= 0", self.data.shots),
            "model.also_train": (
                self.model.also_train in ("decoder", "paper"),
                "decoder or paper",
                self.model.also_train,
            ),
            "model.backbone_mode": (
                self.model.backbone_mode in ("eval", "train"),
                "eval or train",
                self.model.backbone_mode,
            ),
            "train.epochs": (self.train.epochs >= 1, ">= 1", self.train.epochs),
            "train.batch": (self.train.batch >= 1, ">= 1", self.train.batch),
            "train.optimizer": (self.train.optimizer in ("adamw", "adam"), "adamw or adam", self.train.optimizer),
            "train.lr": (self.train.lr > 0, "> 0", self.train.lr),
            "train.weight_decay": (self.train.weight_decay >= 0, ">= 0", self.train.weight_decay),
            "train.warmup_frac": (0 <= self.train.warmup_frac < 1, "in [0, 1)", self.train.warmup_frac),
            "train.drop_path": (
                self.train.drop_path == "own" or _is_rate(self.train.drop_path),
                "own or in [0, 1)",
                self.train.drop_path,
            ),
            "train.clip_norm": (self.train.clip_norm > 0, "> 0", self.train.clip_norm),
            "train.val_every": (self.train.val_every >= 1, ">= 1", self.train.val_every),
            "train.max_steps": (self.train.max_steps >= 0, ">= 0", self.train.max_steps),
            "train.precision": (
                self.train.precision in ("32-true", "bf16-mixed", "16-mixed"),
                "32-true, bf16-mixed or 16-mixed",
                self.train.precision,
            ),
            "eval.overlap": (0 <= self.eval.overlap < 1, "in [0, 1)", self.eval.overlap),
            "eval.hd95": (self.eval.hd95 in ("max", "pooled"), "max or pooled", self.eval.hd95),
            "eval.nsd_tolerance_mm": (0 <= self.eval.nsd_tolerance_mm < inf, ">= 0", self.eval.nsd_tolerance_mm),
            "eval.empty_policy": (
                self.eval.empty_policy in EMPTY_POLICY_NAMES,
                f"one of {', '.join(EMPTY_POLICY_NAMES)}",
                self.eval.empty_policy,
            ),
            "eval.et_min_vox": (
                self.eval.et_min_vox == "auto" or self.eval.et_min_vox.isdecimal(),
                "auto or a number of voxels",
                self.eval.et_min_vox,
            ),
            "tune.trials": (self.tune.trials >= 0, ">= 0", self.tune.trials),
            "tune.budget_s": (self.tune.budget_s >= 0, ">= 0", self.tune.budget_s),
            "tune.epochs": (self.tune.epochs >= 0, ">= 0", self.tune.epochs),
            "tune.sampler": (self.tune.sampler in SAMPLERS, f"one of {', '.join(SAMPLERS)}", self.tune.sampler),
            "tune.pruner": (self.tune.pruner in PRUNERS, f"one of {', '.join(PRUNERS)}", self.tune.pruner),
            "tune.objectives": (
                self.tune.objectives in ("dice", "dice,params"),
                "dice or dice,params",
                self.tune.objectives,
            ),
        }
        for name, (holds, rule, value) in checks.items():
            if not holds:
                raise SpecError(f"{name}: must be {rule}, got {value}")


@dataclass(frozen=True)
class MethodSpec:
    """A method by name with the settings that were asked for (defaults are not listed)."""

    name: str
    settings: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Return the form that ``--methods`` accepts."""
        inner = ",".join(f"{key}={value}" for key, value in self.settings)
        return f"{self.name}[{inner}]" if inner else self.name


@dataclass(frozen=True)
class RunSpec:
    """One cell of the grid. ``root`` is where the data lie; what they are is ``fingerprint``.

    ``weights_sha256`` is what the file of weights is, if ``protocol.model.weights`` is a path, which only says where.
    ``chosen`` are fields of the protocol that a tuning study has set for this method, and ``study`` says which: methods
    that had the same budget are compared with the values that each has chosen.
    ``left_out`` are the cases that cannot be used, each with the reason.
    ``splits_sha256`` is what the file of folds is, if the folds come from one.
    ``group`` is the command that asked for the run; it has no influence on the result, as ``root`` has none.
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
            "data": derive_seed("data", self.dataset, self.fold, self.seed),  # patches and augmentation
            "train": derive_seed("train", self.seed),  # dropout
        }

    @property
    def run_id(self) -> str:
        """A readable name that is equal exactly for runs that must give the same result."""
        cell = [str(self.method), self.dataset, self.fold, self.seed, self.protocol_id, *self.chosen]
        slug = str(self.method).replace("[", "-").replace("]", "").replace(",", "-").replace(":", "-")
        return f"{self.dataset}-{slug}-f{self.fold}-s{self.seed}-{digest(cell)}"

    @property
    def protocol_id(self) -> str:
        """Short hash of everything that must be equal for a comparison."""
        return digest(self.protocol_record())

    def protocol_record(self) -> dict[str, Any]:
        """Return the protocol as nested plain data, with the data it is applied to."""
        record = asdict(self.protocol) | {"dataset": {"name": self.dataset, "fingerprint": self.fingerprint}}
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
    checkpointing: bool = False  # compute activations again in the backward pass
    slices_per_chunk: int = 0  # slices that go through the backbone at once; 0 = all


def digest(value: object) -> str:
    """Return the first 8 hex digits of the SHA-256 of a plain value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def _is_rate(text: str) -> bool:
    try:
        return 0 <= float(text) < 1
    except ValueError:
        return False


def derive_seed(*components: str | int) -> int:
    """Return a seed that depends on these components alone, so that runs share randomness exactly where they should."""
    return int(digest(components), 16) % 2**31


def suggest(word: str, known: list[str]) -> str:
    """Return a hint such as ``(did you mean 'lora'?); available: ...`` for a message about an unknown word."""
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    return f"{hint}; available: {', '.join(sorted(known))}"


def override(protocol: Protocol, assignment: str) -> Protocol:
    """Return the protocol with one ``section.field=value`` applied, as given to ``--set``.

    Raises: SpecError if the field does not exist or the value does not fit its type.
    """
    key, equals, text = assignment.partition("=")
    known = [f"{section}.{item.name}" for section in SECTIONS for item in fields(getattr(protocol, section))]
    if not equals:
        raise SpecError(f"--set: must look like train.lr=3e-4, got '{assignment}'")
    if key not in known:
        raise SpecError(f"--set: unknown setting '{key}'{suggest(key, known)}")
    section, name = key.split(".")
    part = getattr(protocol, section)
    value = _parse(text, get_type_hints(type(part))[name], key)
    return replace(protocol, **{section: replace(part, **{name: value})})


SHAPE = tuple[int, int, int]
SECTIONS = ("data", "model", "train", "eval", "tune")


def _parse(text: str, kind: Any, key: str) -> Any:
    try:
        if kind is bool:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if kind in (int, float, str):
            return kind(text)
        if kind != SHAPE and text == "none":
            return None
        depth, height, width = (int(part) if kind == SHAPE else float(part) for part in text.split(","))
        return depth, height, width
    except (KeyError, ValueError):
        threefold = "three integers D,H,W" if kind == SHAPE else "three lengths D,H,W in mm, or none"
        wanted = getattr(kind, "__name__", "") if kind in (bool, int, float, str) else threefold
        raise SpecError(f"--set: {key} must be {wanted}, got '{text}'") from None
