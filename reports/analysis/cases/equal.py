"""The runs of a fold must have equal cases, or are compared on the common ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reports.analysis.tidy import Setting, group_by_setting, setting_of
from reports.records.run import RunResult, Status


def check_cases(results: Sequence[RunResult], *, intersection: bool = False) -> list[RunResult]:
    """Return the results if the runs of each fold have equal cases.

    With ``intersection`` a run keeps the cases that all methods of its setting have in any fold.

    Raises: ValueError that lists the cases that some run of a fold lacks, or that names one which
    two folds hold out.
    """
    for setting, group in group_by_setting(results).items():
        _refuse_shared_cases(setting, group)
    if not intersection:
        for setting, group in group_by_setting(results).items():
            _refuse_unequal_folds(setting, group)
        return list(results)
    common = {}
    for setting, group in group_by_setting(results).items():
        by_method: dict[str, set[str]] = {}
        for result in group:
            if result.status == Status.DONE:
                by_method.setdefault(result.label, set()).update(_cases_of(result))
        common[setting] = set.intersection(*by_method.values()) if by_method else set()
    return [_restrict(result, common[setting_of(result)]) for result in results]


def _cases_of(result: RunResult) -> set[str]:
    return {score.case for score in result.cases}


def _refuse_unequal_folds(setting: Setting, group: Sequence[RunResult]) -> None:
    first: dict[tuple[str, int], set[str]] = {}  # runs of other protocols are never compared
    for result in group:
        if result.status != Status.DONE:
            continue
        cases = _cases_of(result)
        lacking = cases ^ first.setdefault((result.protocol_id, result.fold), cases)
        if lacking:
            rule = f"the methods on {setting}, fold {result.fold}, must have the same cases"
            got = f"{result.label} and others that differ in {', '.join(sorted(lacking))}"
            hint = "--intersection compares on the common ones"
            raise ValueError(f"report: {rule}, got {got} ({hint})")


def _refuse_shared_cases(setting: Setting, group: Sequence[RunResult]) -> None:
    """Raise ValueError if a case is held out in two folds, where it would count twice."""
    folds: dict[tuple[str, str], int] = {}  # by protocol, and so by file of folds, and case
    for result in group:
        for case in sorted(_cases_of(result)):
            fold = folds.setdefault((result.protocol_id, case), result.fold)
            if fold != result.fold:
                rule = f"the folds of {setting} must hold each case out once"
                got = f"{case} in folds {fold} and {result.fold}"
                hint = "runs of one of the folds, in a store of their own, can be compared"
                raise ValueError(f"report: {rule}, got {got} ({hint})")


def _restrict(result: RunResult, cases: set[str]) -> RunResult:
    kept = tuple(score for score in result.cases if score.case in cases)
    return result if len(kept) == len(result.cases) else replace(result, cases=kept)
