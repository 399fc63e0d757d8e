"""The protocol, as plain frozen data that are cheap to import."""

from dataclasses import asdict, dataclass, fields, replace
from math import inf
from typing import Any, get_type_hints

from methods.settings import (
    RATE,
    SEED,
    Condition,
    SpecError,
    above,
    at_least,
    check,
    one_of,
    read_value,
    setting,
    suggest,
)
from reports.records.text import count

__all__ = ["Protocol", "SpecError", "override", "suggest"]

SECTIONS = ("data", "model", "train", "eval", "tune")
EMPTY_POLICIES = ("dataset", "brats", "brats2023", "kits", "lits", "nnunet", "monai", "medtuning")
MATRICES, ALL = "matrices", "all"  # of train.decay
DICE_CE, DICE = "dice_ce", "dice"  # of train.loss
BEST, LAST = "best", "last"  # of train.select
COSINE, MEDTUNING = "cosine", "medtuning"  # of train.schedule
AS_EVAL = "eval"  # of train.val_overlap
ET_AUTO = "auto"  # of eval.et_min_vox: chosen on the inner validation cases
GAUSSIAN, CONSTANT = "gaussian", "constant"  # of eval.blend
ADDED = ("val_cases", "val_overlap", "val_flips")  # to train; the defaults change no result
PROTOCOL_VERSION = 3  # raise when a change of code changes results under the same settings


def _is_drop_path(text: str) -> bool:
    try:
        return text == "own" or RATE.holds(float(text))
    except ValueError:
        return False


def _is_overlap(text: str) -> bool:
    try:
        return text == AS_EVAL or RATE.holds(float(text))
    except ValueError:
        return False


def _are_rates(text: str) -> bool:
    try:
        rates = read_rates(text)
        n_items = len(text.split(",")) if text else 0
        return len(rates) == n_items and all(0 < rate < inf for rate in rates.values())
    except ValueError:
        return False


def read_rates(text: str) -> dict[str, float]:
    """Return the rates of ``full=1e-4,lora=2e-3`` by method. Raises: ValueError if it is not so."""
    pairs = [item.split("=") for item in text.split(",")] if text else []
    return {name.strip(): float(rate) for name, rate in pairs}


PATCH = Condition(">= 1 on every axis", lambda shape: min(shape) >= 1)
SPACING = Condition("positive", lambda spacing: all(0 < side < inf for side in spacing or ()))
FRACTION = Condition("in [0, 1]", lambda value: 0 <= value <= 1)
PART = Condition("in (0, 1)", lambda value: 0 < value < 1)
DROP_PATH = Condition("own or in [0, 1)", _is_drop_path)
VAL_OVERLAP = Condition(f"{AS_EVAL} or in [0, 1)", _is_overlap)
RATES = Condition("empty, or positive rates such as full=1e-4,lora=2e-3, each once", _are_rates)
VOXELS = Condition("auto or a number of voxels", lambda text: text == "auto" or text.isdecimal())


@dataclass(frozen=True)
class DataSpec:
    """Which patches the model sees."""

    patch: tuple[int, int, int] = setting((16, 64, 64), "patch size D,H,W in voxels", PATCH)
    patches_per_epoch: int = setting(32, "training patches drawn per epoch", at_least(1))
    foreground_frac: float = setting(0.5, "fraction of patches centred on foreground", FRACTION)
    n_folds: int = setting(5, "folds of the patient-level cross-validation", at_least(2))
    val_frac: float = setting(0.2, "fraction of the training patients kept for selection", PART)
    exclude: str = setting("", "preset of cases to leave out, such as nnunet2019 (KiTS19)")
    spacing_mm: tuple[float, float, float] | None = setting(
        None, "resample to this spacing D,H,W in mm; none = keep each case's own", SPACING
    )
    crop: bool = setting(True, "cut away everything around the body or the brain")
    ct_norm: str = setting(
        "constants",
        "CT window: known ones | of the training part",
        one_of("constants", "fingerprint"),
    )
    splits: str = setting("auto", "file of folds | auto = splits_final.json of the root, else rule")
    shots: int = setting(0, "train on so many cases and select on no more; 0 = all", at_least(0))


@dataclass(frozen=True)
class ModelSpec:
    """Which network the methods are put into."""

    backbone: str = setting("tiny_vit", "pre-trained 2-D network")
    weights: str = setting("none", "its pre-training; none = random initialisation")
    decoder: str = setting(  # medtuning: computed as in Med-Tuning's code
        "own", "own or medtuning = the backbone's, or a name"
    )
    decoder_mode: str = setting(  # peft: low-rank residuals beside its frozen weights
        "train", "what trains in the decoder", one_of("train", "frozen", "peft")
    )
    prefix_tokens: str = setting(  # every patch token attends to them
        "keep", "class and register tokens of a ViT", one_of("keep", "drop")
    )
    also_train: str = setting(  # paper: the final norm and the position embedding as well
        "decoder", "what trains beside the method", one_of("decoder", "paper")
    )
    backbone_mode: str = setting(  # eval: no dropout, no drop path
        "eval", "mode of frozen modules", one_of("eval", "train")
    )


@dataclass(frozen=True)
class TrainSpec:
    """How the trained part is trained."""

    epochs: int = setting(30, "passes of data.patches_per_epoch patches", at_least(1))
    batch: int = setting(2, "patches at a time", at_least(1))
    accumulate: int = setting(1, "batches per optimiser step", at_least(1))
    loss: str = setting(DICE_CE, "soft Dice with or without cross-entropy", one_of(DICE_CE, DICE))
    optimizer: str = setting("adamw", "adam is amsgrad, as in Med-Tuning", one_of("adamw", "adam"))
    lr: float = setting(
        1e-3,
        "peak learning rate of what trains in the backbone",
        above(0),
        search=(1e-5, 1e-1, "log"),
    )
    decoder_lr: float = setting(
        3e-3, "peak learning rate of the decoder", above(0), search=(1e-3, 1.0, "log")
    )
    method_lr: str = setting("", "both rates of single methods, such as full=1e-4", RATES)
    weight_decay: float = setting(
        1e-2, "of what trains in the backbone", at_least(0), search=(1e-6, 1e-1, "log")
    )
    decoder_weight_decay: float = setting(
        1e-2, "of the decoder", at_least(0), search=(1e-6, 1e-1, "log")
    )
    decay: str = setting(  # matrices: not biases, norms, scales, prompts, position embeddings
        MATRICES, "what weight decay acts on", one_of(MATRICES, ALL)
    )
    schedule: str = setting(  # medtuning: by epochs, ends at 2.6 % of the peak
        COSINE, "form of the learning rate over time", one_of(COSINE, MEDTUNING)
    )
    warmup_frac: float = setting(
        0.1, "fraction of the steps with a rising learning rate", RATE, search=(0.0, 0.3, "linear")
    )
    drop_path: str = setting(
        "own",
        "of the blocks in training mode: own (the backbone's) | the rate of the last block",
        DROP_PATH,
        choices=("own", "0.0", "0.1", "0.2"),
    )
    clip_norm: float = setting(1.0, "largest gradient norm; 0 = any", at_least(0))
    select: str = setting(
        BEST, "epoch that is kept: best on inner validation | last", one_of(BEST, LAST)
    )
    val_every: int = setting(5, "epochs between inner validations", at_least(1))
    val_cases: int = setting(  # the same ones for every method of a fold
        0, "cases of an inner validation; 0 = all", at_least(0)
    )
    val_overlap: str = setting(
        AS_EVAL, "overlap of windows in inner validation: eval.overlap | a fraction", VAL_OVERLAP
    )
    val_flips: bool = setting(True, "eval.flips holds in inner validation as well")
    max_steps: int = setting(0, "stop after this many steps; 0 = all epochs", at_least(0))
    threads: int = setting(1, "CPU threads of a run; another number gives other bits", at_least(1))
    precision: str = setting(
        "32-true", "arithmetic of the network", one_of("32-true", "bf16-mixed", "16-mixed")
    )


@dataclass(frozen=True)
class EvalSpec:
    """How a whole volume is segmented and scored."""

    overlap: float = setting(0.25, "overlap of sliding windows, fraction of the patch", RATE)
    blend: str = setting(GAUSSIAN, "weights of overlapping windows", one_of(GAUSSIAN, CONSTANT))
    flips: bool = setting(False, "average the prediction over the 8 mirrored volumes")
    hd95: str = setting(
        "max", "both directions: the larger | pooled (medpy)", one_of("max", "pooled")
    )
    nsd_tolerance_mm: float = setting(
        0.0, "of the surface Dice; 0 = the data set's own", at_least(0)
    )
    empty_policy: str = setting("dataset", "scores of empty masks", one_of(*EMPTY_POLICIES))
    et_min_vox: str = setting(
        "0", "BraTS: also score with less enhancing tumour than this taken as core", VOXELS
    )


@dataclass(frozen=True)
class TuneSpec:
    """The budget that every method gets before its final runs; all zero where nothing is tuned."""

    trials: int = setting(0, "trials a method", at_least(0))
    budget_s: float = setting(0.0, "seconds of fit a method, instead of trials", at_least(0))
    epochs: int = setting(0, "epochs of a trial; 0 = train.epochs", at_least(0))
    sampler: str = setting("tpe", "of Optuna", one_of("tpe", "gp", "random", "cmaes", "qmc"))
    pruner: str = setting("median", "of Optuna", one_of("median", "wilcoxon", "none"))
    objectives: str = setting("dice", "two: a Pareto front", one_of("dice", "dice,params"))
    per_fold: bool = setting(False, "one study a fold; otherwise the first fold's is reused")
    seed: int = setting(0, "of the sampler and of the trials", SEED)

    @property
    def budget(self) -> str:
        """What each method gets, in words."""
        return f"{self.budget_s:.0f} s of fit" if self.budget_s else count(self.trials, "trial")


@dataclass(frozen=True)
class Protocol:
    """Everything that must be equal for two runs to be compared."""

    data: DataSpec = DataSpec()
    model: ModelSpec = ModelSpec()
    train: TrainSpec = TrainSpec()
    eval: EvalSpec = EvalSpec()
    tune: TuneSpec = TuneSpec()
    version: int = PROTOCOL_VERSION

    @property
    def selection(self) -> EvalSpec:
        """How inner validation cases are segmented when an epoch or a setting is chosen."""
        overlap = self.eval.overlap
        if self.train.val_overlap != AS_EVAL:
            overlap = float(self.train.val_overlap)
        flips = self.eval.flips and self.train.val_flips
        return replace(self.eval, overlap=overlap, flips=flips)

    def record(self) -> dict[str, Any]:
        """Return the protocol as nested plain data; a field of `ADDED` only if it was set.

        So runs from before there was a field have the record, and the hash, of its default.
        """
        record = asdict(self)
        defaults = TrainSpec()
        for name in ADDED:
            if record["train"][name] == getattr(defaults, name):
                del record["train"][name]
        return record

    def __post_init__(self) -> None:
        """Raises: SpecError naming the field."""
        for section in SECTIONS:
            check(f"{section}.{{}}:", getattr(self, section))
        if self.tune.sampler == "cmaes" and "," in self.tune.objectives:
            hint = "use tpe, gp, random or qmc"
            raise SpecError(f"tune.sampler: cmaes must have one objective, got two ({hint})")


def override(protocol: Protocol, assignment: str) -> Protocol:
    """Return the protocol with one ``section.field=value`` applied, as given to ``--set``.

    Raises: SpecError if the field does not exist or the value does not fit its type.
    """
    key, equals, text = assignment.partition("=")
    known: list[str] = []
    for section in SECTIONS:
        known += [f"{section}.{item.name}" for item in fields(getattr(protocol, section))]
    if not equals:
        raise SpecError(f"--set: must look like train.lr=3e-4, got '{assignment}'")
    if key not in known:
        raise SpecError(f"--set: unknown setting '{key}'{suggest(key, known)}")
    section, name = key.split(".")
    part = getattr(protocol, section)
    value = read_value(text, get_type_hints(type(part))[name], f"--set: {key}")
    return replace(protocol, **{section: replace(part, **{name: value})})
