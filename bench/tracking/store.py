"""Results in MLflow: an experiment per data set, in it a parent run per command, under it a run per result; and back.

``result.json`` in a run's folder is the durable record; the store is a copy of it, to browse and to
report from. Hence a run is sent whole when it has ended, and sending it again repairs what an
interrupted attempt left behind.
"""

from __future__ import annotations

import gc
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from bench.cost.usage import read_usage
from bench.tracking import entries, local_store, parents
from bench.tracking.groups import Group
from reports.records.run import RESULT_FILE, RunResult, Status, read_result

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000  # the most runs per request
BATCH = 1000  # the most metrics per request

# Nothing is sent to anybody but the tracking server, and a server that is away is noticed in
# seconds. What the user has set goes first.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class TrackingError(ValueError):
    """The store cannot be used; the message is one sentence that names it."""


def default_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or the SQLite file in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / local_store.DATABASE}"


def prepare_environment() -> None:
    """Set what MLflow reads from the environment when it is imported, here or in a child process."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def open_store(uri: str | None = None) -> Store:
    """Return the store at ``uri`` (default: `default_uri`); a new SQLite file is made where there is none.

    Raises: TrackingError if it cannot be reached.
    """
    prepare_environment()
    from mlflow import MlflowClient

    uri = uri or default_uri()
    with reaching(uri):
        store = Store(uri, MlflowClient(tracking_uri=uri))
        store.client.search_experiments(max_results=1)
    return store


def repair_moved(uri: str) -> list[str]:
    """Let a SQLite store that was moved find its artifacts; return the names of the experiments that were changed.

    Raises: TrackingError if the database cannot be written.
    """
    prepare_environment()
    with reaching(uri):
        return local_store.repair_moved(uri)


@dataclass(frozen=True)
class Store:
    """An MLflow store that has answered."""

    uri: str
    client: MlflowClient = field(repr=False)
    runs: dict[str, Run] = field(
        default_factory=dict, repr=False
    )  # those that `load_results` read, by ``run_id``

    def log_result(
        self, result: RunResult, folder: Path, *, parent: str = "", experiment: str = ""
    ) -> bool:
        """Make sure that the store holds exactly this result of the run, with the pictures that lie in ``folder``.

        Returns False if it did already. Otherwise what the store has under this ``run_id`` (an
        older result, an attempt that was cut off) is deleted, as in the MLflow UI, before the new
        run is written. A run's status comes last: one in state RUNNING was cut off. ``parent`` is
        the run of MLflow that it is shown under, ``experiment`` the experiment, by default that of
        the data set.

        Raises: TrackingError if the store cannot be reached.
        """
        tags = entries.tags(result) | ({entries.PARENT_TAG: parent} if parent else {})
        with reaching(self.uri):
            place = self.find_experiment(experiment or result.dataset)
            found = self.client.search_runs(
                [place], f"tags.run_id = '{result.run_id}'", max_results=PAGE
            )
            for run in found:
                if self._is_whole(run, tags[entries.DIGEST_TAG]):
                    if parent and run.data.tags.get(entries.PARENT_TAG) != parent:
                        self.client.set_tag(run.info.run_id, entries.PARENT_TAG, parent)
                    return False
            for run in found:
                self.client.delete_run(run.info.run_id)
            start_ms, end_ms = entries.times_ms(result)
            run = self.client.create_run(
                place, start_time=start_ms, tags=tags, run_name=entries.run_name(result)
            )
            self._log_numbers(run.info.run_id, result, folder, end_ms)
            with tempfile.TemporaryDirectory() as scratch:
                entries.write_artifacts(Path(scratch), result, folder)
                self.client.log_artifacts(run.info.run_id, scratch)
            self.client.set_terminated(
                run.info.run_id, entries.MLFLOW_STATUS[result.status], end_time=end_ms
            )
        return True

    def open_group(self, group: Group, dataset: str) -> str:
        """Return the id of the parent run of a command in the data set's experiment; it is made if need be.

        Raises: TrackingError if the store cannot be reached.
        """
        with reaching(self.uri):
            place = self.find_experiment(dataset)
            found = self.client.search_runs(
                [place], f"tags.`{entries.GROUP_TAG}` = '{group.id}'", max_results=1
            )
            if found:
                return str(found[0].info.run_id)
            start_ms, tags = entries.milliseconds(group.started_at), parents.tags(group, dataset)
            run = self.client.create_run(
                place, start_time=start_ms, tags=tags, run_name=parents.run_name(group)
            )
            return str(run.info.run_id)

    def close_group(
        self, parent: str, group: Group, results: Sequence[RunResult], tables: Sequence[str]
    ) -> None:
        """Bring a parent run up to date: its note, its tables (Markdown), how many runs ended how, and its state.

        ``results`` are those of the command on one data set, as far as they have ended; at least
        one.

        Raises: TrackingError if the store cannot be reached.
        """
        with reaching(self.uri):
            for key, value in parents.summary_tags(group, results, tables).items():
                self.client.set_tag(parent, key, value)
            self.client.log_text(parent, "\n".join(tables), parents.SUMMARY_FILE)
            for status in Status:
                self.client.log_metric(
                    parent, f"runs/{status}", sum(each.status == status for each in results)
                )
            end_ms = max(entries.times_ms(result)[1] for result in results)
            self.client.set_terminated(parent, parents.status(group, results), end_time=end_ms)

    def load_results(self, dataset: str | None = None) -> list[RunResult]:
        """Return all results, or those of one data set, in the order in which their runs were started.

        Runs that were deleted or cut off are left out, and so are parent runs, tuning trials and
        other people's runs in the same experiments.

        Raises: TrackingError if the store cannot be reached, or does not find its files.
        """
        results = []
        with reaching(self.uri), collecting_nothing(), tempfile.TemporaryDirectory() as scratch:
            for run in self._iter_ended_runs(dataset):
                file = self._find_file(run, RESULT_FILE, Path(scratch))
                if file is None:
                    rule = f"run '{run.info.run_name}' must have its {RESULT_FILE}, found none in {run.info.artifact_uri}"
                    raise TrackingError(
                        f"store {self.uri}: {rule} (`python -m bench sync` sends it again)"
                    )
                result = read_result(file.parent)
                assert result is not None
                results.append(result)
                self.runs[result.run_id] = run
        return results

    def fetch_file(self, run_id: str, name: str, scratch: Path) -> Path | None:
        """Return a file of a run that was read, in place or copied into ``scratch``; None if the run left none.

        Raises: TrackingError if the store cannot be reached.
        """
        with reaching(self.uri):
            return self._find_file(self.runs[run_id], name, scratch)

    def _find_file(self, run: Run, name: str, scratch: Path) -> Path | None:
        """Return where an artifact can be read, None if the run has none of that name.

        Files on this machine are read in place: MLflow's client looks their place up anew for each,
        which takes longer than reading.
        """
        place = urlsplit(run.info.artifact_uri)
        if place.scheme == "file":
            file = Path(url2pathname(place.path), name)
            return file if file.is_file() else None
        if not any(file.path == name for file in self.client.list_artifacts(run.info.run_id)):
            return None
        folder = scratch / run.info.run_id
        folder.mkdir(exist_ok=True)
        return Path(self.client.download_artifacts(run.info.run_id, name, str(folder)))

    def _is_whole(self, run: Run, digest: str) -> bool:
        ended = run.info.status != "RUNNING"
        return ended and run.data.tags.get(entries.DIGEST_TAG) == digest and self._has_file(run)

    def _has_file(self, run: Run) -> bool:
        return any(file.path == RESULT_FILE for file in self.client.list_artifacts(run.info.run_id))

    def list_datasets(self) -> list[str]:
        """Return the names of the experiments that hold results.

        Raises: TrackingError if the store cannot be reached.
        """
        with reaching(self.uri):
            return sorted(
                each.name
                for each in self.client.search_experiments()
                if not each.name.startswith(entries.TUNING)
                and next(self._iter_ended_runs(each.name), None) is not None
            )

    def _iter_ended_runs(self, dataset: str | None) -> Iterator[Run]:
        experiments = [
            experiment.experiment_id
            for experiment in self.client.search_experiments()
            if dataset in (None, experiment.name) and not experiment.name.startswith(entries.TUNING)
        ]
        wanted = f"tags.`{entries.DIGEST_TAG}` LIKE '%' AND attributes.status != 'RUNNING'"
        order, token = ["attributes.start_time ASC"], ""
        while experiments and token is not None:
            page = self.client.search_runs(
                experiments, wanted, max_results=PAGE, order_by=order, page_token=token or None
            )
            yield from page
            token = page.token

    def find_experiment(self, name: str) -> str:
        """Return the id of an experiment, which is made if need be."""
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            return str(
                self.client.create_experiment(name, local_store.artifact_place(self.uri, name))
            )
        if experiment.lifecycle_stage == "deleted":
            hint = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
            raise TrackingError(
                f"store {self.uri}: experiment '{name}' must not be deleted ({hint})"
            )
        return str(experiment.experiment_id)

    def _log_numbers(self, mlflow_id: str, result: RunResult, folder: Path, time_ms: int) -> None:
        from mlflow.entities import Metric, Param

        metrics = [
            Metric(key, value, time_ms, step)
            for key, value, step in entries.metrics(result)
            if isfinite(value)
        ]
        for step, (at_ms, sample) in enumerate(read_usage(folder)):
            metrics += [
                Metric(f"system/{name}", value, at_ms, step) for name, value in sample.items()
            ]
        params = [Param(key, value) for key, value in entries.params(result).items()]
        self.client.log_batch(mlflow_id, params=params)
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(mlflow_id, metrics[start : start + BATCH])


@contextmanager
def collecting_nothing() -> Iterator[None]:
    """Search for no cyclic garbage meanwhile: it goes through all that was read again and again, half of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turn what MLflow, its database or its network raise into one sentence about the store."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        cause = " ".join(str(error).split())
        raise TrackingError(
            f"store {uri}: must be reachable, got {type(error).__name__}: {cause[:300]}"
        ) from error
