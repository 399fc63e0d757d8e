"""What a run needed: parameters, operations, memory, time. Counts are exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Repeated measurements after warm-up, the device synchronised."""

    median_s: float
    iqr_s: float  # between the quartiles
    n: int
    # A part was repeated and its seconds multiplied by this: of a volume's windows, as many as fill
    # a forward pass. 1 where the whole was repeated, as in records from before there was the field.
    scale: float = 1.0


@dataclass(frozen=True)
class Compute:
    """Floating-point operations in 10^9 (GFLOP): two per multiply-accumulate."""

    forward_gflop: float  # an inference of one patch
    training_gflop: float  # of one patch, both ways; what needs no gradient costs no backward
    uncounted: tuple[str, ...] = ()  # operations without a rule, as "name x calls"
    # Forward passes for a held-out volume, windows and flips, mean over the cases; None in records
    # that are older than the field.
    passes_per_volume: float | None = None
    volume_gflop: float | None = None  # an inference of such a volume

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(_convert_macs, handler(source))


GFLOP_PER_GMAC = 2  # a multiplication and an addition


def _convert_macs(raw: Any) -> Any:
    """Return the fields of a record that counted multiply-accumulates as those of `Compute`."""
    if not isinstance(raw, dict):
        return raw
    record = dict(raw)
    for name in ("forward", "training"):
        gmac = record.pop(f"{name}_gmac", None)
        if isinstance(gmac, int | float):
            record[f"{name}_gflop"] = GFLOP_PER_GMAC * gmac
    return record


@dataclass(frozen=True)
class Memory:
    """What one training step on one batch holds, in MiB; exact but for the peaks."""

    weights_mib: float
    gradients_mib: float
    optimizer_mib: float
    saved_for_backward_mib: float  # distinct bytes kept by autograd, weights not counted
    peak_mib: float | None = None  # of the device's allocator over a training step; None on a CPU
    reserved_mib: float | None = None


@dataclass(frozen=True)
class Merged:
    """Inference with the method folded into the backbone's weights."""

    inference: Timing
    max_abs_diff: float  # of the logits, against the unmerged network


@dataclass(frozen=True)
class PhaseTime:
    """What a phase of a run took, as `bench.cost.phases` names it and counts its units."""

    phase: str
    units: int
    seconds: float
    first_s: float  # of the seconds, those of the first unit


@dataclass(frozen=True)
class Shares:
    """What the time of a run was spent on, as shares that add up to 1."""

    step: float  # training steps
    wait: float  # for patches, between the steps
    validate: float
    score: float
    measure: float  # cost
    start: float  # from the start of the process to the first batch
    write: float  # the trained weights are written and read back
    compile: float  # torch.compile; 0 where the network is not compiled


@dataclass(frozen=True)
class Cost:
    """What the run needed; counts are exact."""

    params_total: int
    params_tuned: int  # trained by the method, but not by all methods
    params_decoder: int  # trained in the decoder
    params_tuned_frac: float  # of the backbone before the method was put in: full fine-tuning is 1
    fit_s: float
    score_s: float
    peak_memory_mib: float  # of the process on a CPU, of the device's allocator on a GPU
    params_other: int = 0  # trained in the backbone by the protocol, equally for all methods
    data_wait_s: float = 0.0  # of the fit, waiting for patches; not in ``fit_s``
    compute: Compute | None = None
    memory: Memory | None = None
    train_step: Timing | None = None  # one optimiser step on one batch
    # One inner validation volume, windows and flips included; reading it is not.
    inference: Timing | None = None
    merged: Merged | None = None  # None where the method does not merge
    energy_j: float | None = None  # of the device over the fit, where it tells
    delta_mib: float | None = None  # the file of what was trained
    params_backbone: int | None = None  # before the method was put in; None in older records
    # Of the decoder, trained or frozen, without what adapts it; None in older records, where all
    # of it trained.
    params_decoder_plain: int | None = None
    # As the process that ended the run saw them; empty in older records.
    phases: tuple[PhaseTime, ...] = ()
    # Share of the fit in which the device computed, where NVML tells; None in older records too.
    gpu_busy_frac: float | None = None
    # Seconds of torch.compile, which are in no other time; None where the network is not compiled,
    # and in older records.
    compile_s: float | None = None

    @property
    def params_trained(self) -> int:
        """All that is trained: by the method, the decoder, by the protocol in the backbone."""
        return self.params_tuned + self.params_decoder + self.params_other

    @property
    def params_plain(self) -> int | None:
        """Backbone and decoder without the method; None where a record does not tell."""
        backbone = self.params_backbone
        if backbone is None and self.params_tuned_frac:
            backbone = round(self.params_tuned / self.params_tuned_frac)
        if backbone is None and not self.params_tuned:  # nothing was put in
            backbone = self.params_total - self.params_decoder
        decoder = self.params_decoder_plain
        if decoder is None:
            decoder = self.params_decoder
        return None if backbone is None else backbone + decoder

    @property
    def params_trained_frac(self) -> float | None:
        """All that is trained, of backbone and decoder without the method."""
        return self.params_trained / self.params_plain if self.params_plain else None

    @property
    def params_total_frac(self) -> float | None:
        """All parameters, of backbone and decoder without the method."""
        return self.params_total / self.params_plain if self.params_plain else None

    @property
    def shares(self) -> Shares | None:
        """What the time was spent on; None where a record has no phases.

        The whole is the time of all phases, from the start of the process to the end of measuring,
        and that of compiling.
        """
        seconds = {each.phase: each.seconds for each in self.phases}
        total = sum(seconds.values()) + (self.compile_s or 0.0)
        if not total:
            return None
        fit = seconds.get("fit", 0.0)
        wait = min(self.data_wait_s, fit)
        return Shares(
            step=(fit - wait) / total,
            wait=wait / total,
            validate=seconds.get("validate", 0.0) / total,
            score=seconds.get("score", 0.0) / total,
            measure=seconds.get("measure", 0.0) / total,
            start=seconds.get("prepare", 0.0) / total,
            write=seconds.get("write", 0.0) / total,
            compile=(self.compile_s or 0.0) / total,
        )

    @property
    def compile_frac(self) -> float | None:
        """The share of torch.compile; None where the network is not compiled."""
        shares = self.shares
        return None if shares is None or self.compile_s is None else shares.compile


def read_cost(cost: Cost, path: str) -> Any:
    """Return a field of a cost such as "compute.forward_gflop"; None where it was not measured."""
    value: Any = cost
    for name in path.split("."):
        value = getattr(value, name, None)
    return value
