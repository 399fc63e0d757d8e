"""The protocol: everything that must be equal for two runs to be compared, and what each of its settings may be.

Plain frozen data, cheap to import. A field's metadata hold its help, its rule, and what a tuning
study may try.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from math import inf
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")
SHAPE = tuple[int, int, int]
SECTIONS = ("data", "model", "train", "eval", "tune")
EMPTY_POLICY_NAMES = (
    "dataset",
    "brats",
    "brats2023",
    "kits",
    "lits",
    "nnunet",
    "monai",
    "medtuning",
)
PROTOCOL_VERSION = 2  # raise when a change of code changes results under the same settings


class SpecError(ValueError):
    """A setting that does not exist or cannot be; the message is one sentence for the user."""


@dataclass(frozen=True)
class Rule:
    """What a setting must be, in words and as a test; nan breaks every rule of numbers."""

    text: str
    holds: Callable[[Any], bool]


def _at_least(low: int) -> Rule:
    return Rule(f">= {low}", lambda value: value >= low)


def _one_of(*names: str) -> Rule:
    text = " or ".join(names) if len(names) == 2 else f"one of {', '.join(names)}"
    return Rule(text, lambda value: value in names)


def _is_rate(text: str) -> bool:
    try:
        return 0 <= float(text) < 1
    except ValueError:
        return False


FREE = Rule("of its type", lambda value: True)  # what it names is looked up where it is used
ABOVE_0 = Rule("> 0", lambda value: value > 0)
BELOW_1 = Rule("in [0, 1)", lambda value: 0 <= value < 1)
PATCH = Rule(">= 1 on every axis", lambda shape: min(shape) >= 1)
SPACING = Rule("positive", lambda spacing: spacing is None or min(spacing) > 0)
RATE = Rule("own or in [0, 1)", lambda text: text == "own" or _is_rate(text))
VOXELS = Rule("auto or a number of voxels", lambda text: text == "auto" or text.isdecimal())


def _setting(default: T, help: str, rule: Rule = FREE, **tried: Any) -> T:
    """Declare a field; a tuning study tries the range ``search=(low, high, scale)`` or the ``choices``, if given."""
    declared: T = field(default=default, metadata={"help": help, "rule": rule} | tried)
    return declared


@dataclass(frozen=True)
class DataSpec:
    """Which patches the model sees."""

    patch: tuple[int, int, int] = _setting((16, 64, 64), "patch size D,H,W in voxels", PATCH)
    patches_per_epoch: int = _setting(32, "training patches drawn per epoch", _at_least(1))
    foreground_frac: float = _setting(
        0.5,
        "fraction of patches centred on a foreground voxel",
        Rule("in [0, 1]", lambda value: 0 <= value <= 1),
    )
    n_folds: int = _setting(5, "folds of the patient-level cross-validation", _at_least(2))
    val_frac: float = _setting(
        0.2,
        "fraction of the training patients kept for selection",
        Rule("in (0, 1)", lambda value: 0 < value < 1),
    )
    exclude: str = _setting("", "preset of cases to leave out, such as nnunet2019 (KiTS19)")
    spacing_mm: tuple[float, float, float] | None = _setting(
        None, "resample to this spacing D,H,W in mm; none = keep each case's own", SPACING
    )
    crop: bool = _setting(True, "cut away what lies around the body or the brain")
    ct_norm: str = _setting(
        "constants",
        "CT window: constants (known ones) | fingerprint (of the training part)",
        _one_of("constants", "fingerprint"),
    )
    splits: str = _setting(
        "auto", "file of folds; auto = splits_final.json of the root, else the rule | rule"
    )
    shots: int = _setting(0, "train on so many cases and select on no more; 0 = all", _at_least(0))


@dataclass(frozen=True)
class ModelSpec:
    """Which network the methods are put into."""

    backbone: str = _setting("tiny_vit", "pre-trained 2-D network")
    weights: str = _setting("none", "its pre-training; none = random initialisation")
    also_train: str = _setting(
        "decoder",
        "what trains beside the method: decoder | paper (final norm, position embedding as well)",
        _one_of("decoder", "paper"),
    )
    backbone_mode: str = _setting(
        "eval", "frozen modules: eval (no dropout, no drop path) | train", _one_of("eval", "train")
    )


@dataclass(frozen=True)
class TrainSpec:
    """How the trained part is trained."""

    epochs: int = _setting(30, "passes of data.patches_per_epoch patches", _at_least(1))
    batch: int = _setting(2, "patches per optimiser step", _at_least(1))
    optimizer: str = _setting(
        "adamw", "adamw | adam (amsgrad, as in Med-Tuning)", _one_of("adamw", "adam")
    )
    lr: float = _setting(1e-3, "peak learning rate", ABOVE_0, search=(1e-4, 3e-2, "log"))
    weight_decay: float = _setting(1e-2, "weight decay", _at_least(0), search=(1e-6, 1e-1, "log"))
    warmup_frac: float = _setting(
        0.1,
        "fraction of the steps with a rising learning rate",
        BELOW_1,
        search=(0.0, 0.3, "linear"),
    )
    drop_path: str = _setting(
        "own",
        "of the blocks that are in training mode: own (the backbone's) | the rate of the last block",
        RATE,
        choices=("own", "0.0", "0.1", "0.2"),
    )
    clip_norm: float = _setting(1.0, "largest gradient norm", ABOVE_0)
    val_every: int = _setting(5, "epochs between inner validations", _at_least(1))
    max_steps: int = _setting(0, "stop after this many steps; 0 = all epochs", _at_least(0))
    precision: str = _setting(
        "32-true", "32-true | bf16-mixed | 16-mixed", _one_of("32-true", "bf16-mixed", "16-mixed")
    )


@dataclass(frozen=True)
class EvalSpec:
    """How a whole volume is segmented and scored."""

    overlap: float = _setting(0.25, "overlap of sliding windows, fraction of the patch", BELOW_1)
    flips: bool = _setting(False, "average the prediction over the 8 mirrored volumes")
    hd95: str = _setting(
        "max",
        "95th-percentile Hausdorff distance: max of both directions | pooled (medpy)",
        _one_of("max", "pooled"),
    )
    nsd_tolerance_mm: float = _setting(
        0.0,
        "of the surface Dice; 0 = the data set's own",
        Rule(">= 0", lambda value: 0 <= value < inf),
    )
    empty_policy: str = _setting(
        "dataset",
        f"scores of empty masks: {' | '.join(EMPTY_POLICY_NAMES)}",
        _one_of(*EMPTY_POLICY_NAMES),
    )
    et_min_vox: str = _setting(
        "0",
        "BraTS: also score with less enhancing tumour than so many voxels taken as core: N | auto",
        VOXELS,
    )


@dataclass(frozen=True)
class TuneSpec:
    """The budget that every method gets before its final runs; all zero where nothing is tuned."""

    trials: int = _setting(0, "trials a method", _at_least(0))
    budget_s: float = _setting(
        0.0, "seconds of fit a method, instead of a number of trials", _at_least(0)
    )
    epochs: int = _setting(0, "epochs of a trial; 0 = train.epochs", _at_least(0))
    sampler: str = _setting(
        "tpe", "tpe | gp | random | cmaes | qmc", _one_of("tpe", "gp", "random", "cmaes", "qmc")
    )
    pruner: str = _setting(
        "median", "median | wilcoxon | none", _one_of("median", "wilcoxon", "none")
    )
    objectives: str = _setting(
        "dice", "dice | dice,params (a Pareto front)", _one_of("dice", "dice,params")
    )
    per_fold: bool = _setting(False, "one study a fold; otherwise the first fold's is reused")
    seed: int = _setting(0, "of the sampler and of the trials")

    @property
    def budget(self) -> str:
        """What each method gets, in words."""
        return f"{self.budget_s:.0f} s of fit" if self.budget_s else f"{self.trials} trials"


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
        for section in SECTIONS:
            part = getattr(self, section)
            for item in fields(part):
                rule, value = item.metadata["rule"], getattr(part, item.name)
                if not rule.holds(value):
                    raise SpecError(f"{section}.{item.name}: must be {rule.text}, got {value}")


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
    known = [
        f"{section}.{item.name}"
        for section in SECTIONS
        for item in fields(getattr(protocol, section))
    ]
    if not equals:
        raise SpecError(f"--set: must look like train.lr=3e-4, got '{assignment}'")
    if key not in known:
        raise SpecError(f"--set: unknown setting '{key}'{suggest(key, known)}")
    section, name = key.split(".")
    part = getattr(protocol, section)
    value = _parse(text, get_type_hints(type(part))[name], key)
    return replace(protocol, **{section: replace(part, **{name: value})})


def _parse(text: str, kind: Any, key: str) -> Any:
    try:
        if kind is bool:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if kind in (int, float, str):
            return kind(text)
        if kind != SHAPE and text == "none":
            return None
        depth, height, width = (
            int(part) if kind == SHAPE else float(part) for part in text.split(",")
        )
        return depth, height, width
    except (KeyError, ValueError):
        threefold = (
            "three integers D,H,W" if kind == SHAPE else "three lengths D,H,W in mm, or none"
        )
        wanted = getattr(kind, "__name__", "") if kind in (bool, int, float, str) else threefold
        raise SpecError(f"--set: {key} must be {wanted}, got '{text}'") from None
