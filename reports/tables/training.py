"""Sentences on training and inference, made from the protocols of the runs of a table.

A field that a record lacks has the meaning that it had when the record was made: `OLD`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from reports.names import BUILT_IN_NAMES, Names
from reports.records.metrics import Metric
from reports.records.run import RunResult

OLD: dict[str, Any] = {
    "train.loss": "dice_ce",
    "train.accumulate": 1,
    "train.method_lr": "",
    "train.decay": "all",
    "train.schedule": "cosine",
    "train.select": "best",
    "train.val_cases": 0,
    "train.val_overlap": "eval",
    "train.val_flips": True,
    "eval.blend": "gaussian",
    "eval.hd95": "max",
}
WHOLE_TRAIN = {"epochs", "batch", "optimizer", "lr", "clip_norm"}
LOSSES = {
    "dice_ce": "soft Dice of the foreground classes plus cross-entropy",
    "dice": "soft Dice of the foreground classes alone, summed over the batch and the classes",
}
OPTIMIZERS = {"adamw": "AdamW", "adam": "Adam (amsgrad)"}
SCHEDULES = {
    "cosine": "linear warm-up and half a cosine",
    "medtuning": "the warm-up and cosine of Med-Tuning's code, by epochs",
}
CHOICES = {
    "best": "weights of the epoch that is best on inner validation",
    "last": "weights of the last epoch, without selection",
}
BLENDS = {"gaussian": "Gaussian weights", "constant": "equal weights"}
DECAYS = {"all": "all that trains", "matrices": "matrices and kernels alone"}

Protocol = Mapping[str, Any]


def describe_training(results: Sequence[RunResult], names: Names = BUILT_IN_NAMES) -> list[str]:
    """Return how the runs were trained and how volumes were segmented; variants with a slash."""
    if not all(_is_whole(result.protocol) for result in results):
        return []
    parts: list[Callable[[Protocol], str]] = [_describe_loss, _describe_steps, _describe_choice]
    training = "; ".join(_list_variants(results, part) for part in parts)
    rates = f"Learning rate: {_describe_rates(results, names)}"
    inference = _list_variants(results, _describe_inference)
    return [f"Training: {training}.", f"{rates}.", f"Inference: {inference}."]


def describe_edges(results: Sequence[RunResult], names: Names = BUILT_IN_NAMES) -> list[str]:
    """Return which values of tuning are at an end of what was searched."""
    found: dict[str, None] = {}
    for result in results:
        for key in result.provenance.get("spec", {}).get("edges", ()):
            found[f"{names.label(result.method)} {key.removeprefix('method.')}"] = None
    if not found:
        return []
    rule = "at an end of what was searched, so a better value may be outside"
    return [f"Tuned values {rule}: {', '.join(found)}."]


def _is_whole(protocol: Protocol) -> bool:
    """Whether a record has the fields that every version of the protocol has."""
    return protocol.get("train", {}).keys() >= WHOLE_TRAIN and "eval" in protocol


def define_metric(metric: Metric, results: Sequence[RunResult]) -> str:
    """Return the definition of a metric by the protocols of the results."""
    if not metric.variants:
        return metric.definition
    variants = dict.fromkeys(str(_get(result.protocol, "eval.hd95")) for result in results)
    return " / ".join(metric.variants[name] for name in variants) or metric.definition


def _list_variants(results: Sequence[RunResult], part: Callable[[Protocol], str]) -> str:
    return " / ".join(dict.fromkeys(part(result.protocol) for result in results))


def _describe_loss(protocol: Protocol) -> str:
    return LOSSES[_get(protocol, "train.loss")]


def _describe_steps(protocol: Protocol) -> str:
    epochs, batch = _get(protocol, "train.epochs"), _get(protocol, "train.batch")
    n_batches = _get(protocol, "train.accumulate")
    size = _count(batch, "patch", "patches")
    if n_batches > 1:
        size = f"{n_batches} accumulated batches of {size}"
    clip_norm = _get(protocol, "train.clip_norm")
    clipping = f"gradients clipped at norm {clip_norm:g}" if clip_norm else "no gradient clipping"
    optimizer = OPTIMIZERS[_get(protocol, "train.optimizer")]
    decay = f"weight decay of {DECAYS[_get(protocol, 'train.decay')]}"
    return f"{optimizer}, {decay}, {_count(epochs, 'epoch', 'epochs')}, steps of {size}, {clipping}"


def _describe_choice(protocol: Protocol) -> str:
    choice = CHOICES[_get(protocol, "train.select")]
    words = list(_list_selection(protocol))
    if not words or not _selects(protocol):
        return choice
    return f"{choice}; inner validation: {', '.join(words)}"


def _selects(protocol: Protocol) -> bool:
    """Whether inner validation decides on anything: on the epoch, or on the settings."""
    tune = protocol.get("tune", {})
    tunes = bool(tune.get("trials") or tune.get("budget_s"))
    return tunes or _get(protocol, "train.select") == "best"


def _list_selection(protocol: Protocol) -> Iterator[str]:
    """Yield in what inner validation is less than the evaluation of all its cases."""
    n_cases = _get(protocol, "train.val_cases")
    if n_cases:
        yield f"{_count(n_cases, 'case', 'cases')} at most, the same for all methods of a fold"
    if _get(protocol, "train.val_overlap") != "eval":
        yield f"overlap {100 * float(_get(protocol, 'train.val_overlap')):.0f} %"
    if _get(protocol, "eval.flips") and not _get(protocol, "train.val_flips"):
        yield "no mirrored volumes"


def _describe_rates(results: Sequence[RunResult], names: Names) -> str:
    """Return the peak rates of what trains in the backbone and of the decoder, and those by method.

    Rates that tuning chose are not those of the protocol.
    """
    tuned = set()
    for result in results:
        chosen = result.provenance.get("spec", {}).get("chosen", ())
        tuned |= {key for key, _ in chosen}
    words = []
    for key, what in (("train.lr", "backbone and method"), ("train.decoder_lr", "decoder")):
        if key in tuned:
            words.append(f"{what} by tuning")
        else:
            words.append(f"{what} {_list_variants(results, partial(_describe_rate, key))}")
    own = dict.fromkeys(str(_get(result.protocol, "train.method_lr")) for result in results)
    by_method = [_describe_own_rates(text, names) for text in own if text]
    if by_method:
        words.append(f"but by method, decoder included: {' / '.join(by_method)}")
    forms = _list_variants(results, lambda each: SCHEDULES[_get(each, "train.schedule")])
    return f"{', '.join(words)}; {forms}"


def _describe_own_rates(text: str, names: Names) -> str:
    """Return the rates of single methods, such as ``full=1e-4,lora=1e-3``, in words."""
    words = []
    for item in text.split(","):
        method, _, rate = item.partition("=")
        words.append(f"{names.label(method)} {rate}")
    return ", ".join(words)


def _describe_rate(key: str, protocol: Protocol) -> str:
    rate = _get(protocol, key)
    return f"{_get(protocol, 'train.lr') if rate is None else rate:g}"  # one rate for both, once


def _describe_inference(protocol: Protocol) -> str:
    overlap, blend = _get(protocol, "eval.overlap"), BLENDS[_get(protocol, "eval.blend")]
    flips = ", mean over 8 mirrored volumes" if _get(protocol, "eval.flips") else ""
    return f"sliding window, overlap {100 * overlap:.0f} %, blended with {blend}{flips}"


def _get(protocol: Protocol, key: str) -> Any:
    """Return a field of a nested protocol; where it is missing, its meaning at that time."""
    section, _, name = key.partition(".")
    return protocol.get(section, {}).get(name, OLD.get(key))


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
