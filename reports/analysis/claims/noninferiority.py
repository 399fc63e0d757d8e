"""Is a method good enough, compared with a reference such as full fine-tuning?

Two one-sided Student's t tests (TOST) of the mean paired difference against a margin, and the
probability that a claim of out-performance is false. Where there are several trainings, their
differences are in the standard error.

References: Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15:657-680 (TOST). Piaggio et
al. 2012, JAMA 308:2594-2604 (what is called non-inferior). Christodoulou et al. 2025, arXiv
2505.04720 (false claims).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from reports.analysis.paired.contrasts import Sample
from reports.analysis.paired.intervals import ALPHA, LEAST_FOR_INTERVAL, Estimate, Interval
from reports.analysis.scopes import Scope
from reports.analysis.statistics import TooFewError, holm

MARGIN_POINTS = 1.0  # of Dice


class Finding(StrEnum):
    """What the tests say of a method."""

    EQUIVALENT = "equivalent"  # neither worse nor better by the margin
    NON_INFERIOR = "non-inferior"  # not worse by the margin
    INFERIOR = "inferior"  # worse by more than the margin
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class OneSided:
    """The p values of one difference: each is small where the claim is supported."""

    non_inferior: float  # the difference is above -margin
    equivalent: float  # it is also below the margin: the larger p of the two
    inferior: float  # it is below -margin


@dataclass(frozen=True)
class NonInferiority:
    """A method against the reference; the difference is method - reference, as a fraction."""

    method: str
    difference: Interval
    p: OneSided  # Holm's correction over the methods, for each of the three claims
    p_false: float  # probability that the method of the higher mean is not the better one
    finding: Finding
    n_cases: int
    n_trainings: int  # per method; 1: differences between trainings are not in the tests
    n_folds: int  # of the trainings


def margin_p_values(estimate: Estimate, margin: float) -> OneSided:
    """Return the p values of a difference against a margin, both as fractions."""
    above = estimate.p_above(-margin)
    below = 1 - estimate.p_above(margin)
    return OneSided(above, max(above, below), 1 - above)


def false_claim_probability(estimate: Estimate) -> float:
    """Return the probability that the method of the higher mean is not the better one.

    It is the tail beyond zero of the posterior of the paired difference. For a flat prior of the
    difference and of the logarithm of its variance that is Student's t. Nan without an error.

    Reference: Christodoulou et al. 2025, equation of the segmentation task.
    """
    return replace(estimate, value=abs(estimate.value)).p_above(0.0)


def find_non_inferior(scope: Scope, reference: str, margin: float) -> list[NonInferiority]:
    """Return each other ranked method against the reference, in the order of the scope.

    Args:
        scope: of mean Dice.
        reference: one of its ranked methods.
        margin: a difference that does not matter, as a fraction.

    Raises: TooFewError for fewer than `LEAST_FOR_INTERVAL` common cases, or no other method.
    """
    others = [name for name in scope.ranked if name != reference]
    if not others:
        raise TooFewError("non-inferiority must have two methods, got one")
    if len(scope.cases) < LEAST_FOR_INTERVAL:
        rule = f"non-inferiority must have {LEAST_FOR_INTERVAL} cases at least"
        raise TooFewError(f"{rule}, got {len(scope.cases)}")
    sample = Sample.of(scope.matrix(), scope.matrix_of_runs())
    estimates = []
    for name in others:
        # Student's t as in TOST and in the posterior, without a correction for skewness
        estimates.append(replace(sample.estimate(sample.contrast(name, reference)), skewness=0.0))
    corrected = _correct([margin_p_values(estimate, margin) for estimate in estimates])
    found = []
    for name, estimate, p in zip(others, estimates, corrected, strict=True):
        found.append(
            NonInferiority(
                method=name,
                difference=estimate.interval(),
                p=p,
                p_false=false_claim_probability(estimate),
                finding=_decide(p),
                n_cases=estimate.n_cases,
                n_trainings=sample.n_trainings,
                n_folds=sample.design.n_folds if sample.design else 1,
            )
        )
    return found


def _correct(tests: Sequence[OneSided]) -> list[OneSided]:
    columns = []
    for claim in ("non_inferior", "equivalent", "inferior"):
        columns.append(holm([getattr(test, claim) for test in tests]).tolist())
    return [OneSided(*row) for row in zip(*columns, strict=True)]


def _decide(p: OneSided) -> Finding:
    if p.equivalent < ALPHA:
        return Finding.EQUIVALENT
    if p.non_inferior < ALPHA:
        return Finding.NON_INFERIOR
    return Finding.INFERIOR if p.inferior < ALPHA else Finding.UNDECIDED
