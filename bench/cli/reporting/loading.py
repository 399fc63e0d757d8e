"""The results that a report is about."""

from collections.abc import Sequence
from dataclasses import replace

import datasets
import methods
from bench.cli.reporting.naming import check_keys
from bench.cli.terminal import NO_RESULT
from bench.tracking.reading import Reader
from reports.records.run import RunResult
from reports.tables.build import ReportRequest
from reports.tables.families import group_by_family
from reports.tables.view import select_methods


def load_results(store: Reader, request: ReportRequest) -> list[RunResult]:
    """Return the results that the request is about, in the order in which `run` lays runs out.

    Raises: ValueError if the store has none, or does not know the data set.
    """
    results = [_add_family(run) for run in store.load_results(*list_wanted(request))]
    if not results and (known := store.list_datasets()):
        rule = f"--dataset must be among {', '.join(known)}"
        raise ValueError(f"report: {rule}, got '{request.dataset}'")
    if not results:
        raise ValueError(f"report: {NO_RESULT}")
    check_keys(request.names, results)
    order = {name: number for number, name in enumerate(methods.names())}

    def place(run: RunResult) -> tuple[object, ...]:
        number = order.get(run.method, len(order))
        return run.dataset, run.backbone, number, run.label, run.fold, run.seed

    return select_methods(sorted(results, key=place), request.view)


def _add_family(run: RunResult) -> RunResult:
    """Return a result with its family; records of the time before there were any lack it."""
    return run if run.family else replace(run, family=methods.family_of(run.method))


def group_rows(request: ReportRequest, results: Sequence[RunResult]) -> ReportRequest:
    """Return the request with the groups of the families, if it asks for them."""
    if not request.view.by_family:
        return request
    return replace(request, view=group_by_family(request.view, results, request.names))


def list_wanted(request: ReportRequest) -> list[str]:
    """Return the data sets that ``--dataset`` means; empty: all."""
    return [] if request.dataset is None else datasets.members_of(request.dataset)
