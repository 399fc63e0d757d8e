"""Results in MLflow: an experiment per data set, a run per result, and the way back from MLflow to results.

``result.json`` in a run's folder is the durable record; the store is a copy of it, to browse and to report from. Hence
a run is sent whole when it has ended, and sending it again repairs what an interrupted attempt left behind.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from bench import entries
from bench.results import RESULT_FILE, RunResult, read_result

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DATABASE = "mlflow.db"  # where a plain `mlflow ui`, started in the same folder, looks
ARTIFACTS = "mlruns"  # next to the database
PAGE = 1000  # the most runs per request
BATCH = 1000  # the most metrics per request

# Nothing is sent to anybody but the tracking server, and a server that is away is noticed in seconds. What the user has
# set goes first.
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
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / DATABASE}"


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
    with _sentence(uri):
        store = Store(uri, MlflowClient(tracking_uri=uri))
        store.client.search_experiments(max_results=1)
    return store


@dataclass(frozen=True)
class Store:
    """An MLflow store that has answered."""

    uri: str
    client: MlflowClient = field(repr=False)

    def log_result(self, result: RunResult, folder: Path) -> None:
        """Make sure that the store holds exactly this result of the run, with the pictures that lie in ``folder``.

        Does nothing if it does already. Otherwise what the store has under this ``run_id`` (an older result, an attempt
        that was cut off) is deleted, as in the MLflow UI, before the new run is written. A run's status comes last: one
        in state RUNNING was cut off.

        Raises: TrackingError if the store cannot be reached.
        """
        tags = entries.tags(result)
        with _sentence(self.uri):
            experiment = self._experiment_for(result.dataset)
            found = self.client.search_runs([experiment], f"tags.run_id = '{result.run_id}'", max_results=PAGE)
            ended = [run for run in found if run.info.status != "RUNNING"]
            if any(run.data.tags.get(entries.DIGEST_TAG) == tags[entries.DIGEST_TAG] for run in ended):
                return
            for run in found:
                self.client.delete_run(run.info.run_id)
            start_ms, end_ms = entries.times_ms(result)
            run = self.client.create_run(experiment, start_time=start_ms, tags=tags, run_name=entries.run_name(result))
            self._log_numbers(run.info.run_id, result, end_ms)
            with tempfile.TemporaryDirectory() as scratch:
                entries.write_artifacts(Path(scratch), result, folder)
                self.client.log_artifacts(run.info.run_id, scratch)
            self.client.set_terminated(run.info.run_id, entries.MLFLOW_STATUS[result.status], end_time=end_ms)

    def load_results(self, dataset: str | None = None) -> list[RunResult]:
        """Return all results, or those of one data set, in the order in which their runs were started.

        Runs that were deleted or cut off are left out, and so are other people's runs in the same experiments.

        Raises: TrackingError if the store cannot be reached.
        """
        results = []
        with _sentence(self.uri), tempfile.TemporaryDirectory() as scratch:
            for run in self._iter_ended_runs(dataset):
                folder = Path(scratch, run.info.run_id)
                folder.mkdir()
                self.client.download_artifacts(run.info.run_id, RESULT_FILE, str(folder))
                result = read_result(folder)
                assert result is not None
                results.append(result)
        return results

    def _iter_ended_runs(self, dataset: str | None) -> Iterator[Run]:
        experiments = [
            experiment.experiment_id
            for experiment in self.client.search_experiments()
            if dataset in (None, experiment.name)
        ]
        wanted = f"tags.`{entries.DIGEST_TAG}` LIKE '%' AND attributes.status != 'RUNNING'"
        order, token = ["attributes.start_time ASC"], ""
        while experiments and token is not None:
            page = self.client.search_runs(
                experiments, wanted, max_results=PAGE, order_by=order, page_token=token or None
            )
            yield from page
            token = page.token

    def _experiment_for(self, dataset: str) -> str:
        """Return the id of the data set's experiment, which is made if need be.

        In a SQLite store the artifacts go next to the database; elsewhere the server decides.
        """
        experiment = self.client.get_experiment_by_name(dataset)
        if experiment is None:
            scheme, _, database = self.uri.partition(":///")
            place = (Path(database).resolve().parent / ARTIFACTS / dataset).as_uri() if scheme == "sqlite" else None
            return str(self.client.create_experiment(dataset, place))
        if experiment.lifecycle_stage == "deleted":
            hint = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
            raise TrackingError(f"store {self.uri}: experiment '{dataset}' must not be deleted ({hint})")
        return str(experiment.experiment_id)

    def _log_numbers(self, mlflow_id: str, result: RunResult, time_ms: int) -> None:
        from mlflow.entities import Metric, Param

        metrics = [Metric(key, value, time_ms, step) for key, value, step in entries.metrics(result) if isfinite(value)]
        params = [Param(key, value) for key, value in entries.params(result).items()]
        self.client.log_batch(mlflow_id, params=params)
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(mlflow_id, metrics[start : start + BATCH])


@contextmanager
def _sentence(uri: str) -> Iterator[None]:
    """Turn what MLflow, its database or its network raise into one sentence about the store."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        cause = " ".join(str(error).split())
        raise TrackingError(f"store {uri}: must be reachable, got {type(error).__name__}: {cause[:300]}") from error
