"""Results in MLflow: an experiment per data set, a parent run per command, a nested run per result.

The durable record is ``result.json`` in a run's folder; the store is a copy to browse and to report
from. A run is sent whole when it has ended. Sending it again repairs an interrupted attempt.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bench.tracking.connection import (
    TrackingError,
    artifact_place,
    database_file,
    default_uri,
    find_local_folder,
    gc_paused,
    make_database,
    open_lock,
    reaching,
)
from bench.tracking.entities.experiments import VIEW_TAG, describe_results_page, describe_study_page
from bench.tracking.entities.logged_models import delete_models
from bench.tracking.entities.writing import fill_run, write_run
from bench.tracking.entry import (
    GROUP_TAG,
    MADE_TAG,
    PARENT_TAG,
    RESULT,
    RUNNING,
    STATUS_TAG,
    STUDIES,
    STUDY,
    Entry,
    Kind,
    is_done,
    made_at,
    tell_time,
)
from bench.tracking.groups import Group
from bench.tracking.keys import LONGEST_NAME, can_be_filtered, experiment_of, tag_of
from bench.tracking.results import describe_result, milliseconds
from datasets.files import read_text
from datasets.processes import PROGRAM
from reports.records.run import RunResult, Status

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Record = TypeVar("Record")
LONGEST_SENDING_NS = 600 * 10**9
SEND_AGAIN = f"remove it, and `{PROGRAM} sync` sends it again"
PAGE = 1000  # the most runs per request


def open_store(uri: str | None = None) -> Store:
    """Return the store at ``uri`` (default: `default_uri`); a missing SQLite file is made.

    Raises: TrackingError if it cannot be reached.
    """
    uri = uri or default_uri()
    with reaching(uri):
        from alembic.util import CommandError
        from mlflow import MlflowClient

        lock = open_lock(uri)
        with lock:
            make_database(uri)
            try:
                client = MlflowClient(tracking_uri=uri)
            except ValueError as error:  # a migration misses what its tables should have
                raise CommandError(str(error)) from error
            store = Store(uri, client, lock)
            store.ping()
    return store


@dataclass(frozen=True)
class Store:
    """An MLflow store that has answered; every method raises TrackingError once it does not."""

    uri: str
    client: MlflowClient = field(repr=False)
    lock: AbstractContextManager[object] = field(repr=False)  # held to look and then write
    runs: dict[str, Run] = field(default_factory=dict, repr=False)  # read so far, by record
    described: set[str] = field(default_factory=set, repr=False)  # experiments, by name

    def ping(self) -> None:
        """Raise TrackingError if the store does not answer."""
        with reaching(self.uri):
            self.client.search_experiments(max_results=1)

    def log_result(self, result: RunResult, folder: Path, parent: str = "") -> bool:
        """Send a result with the pictures in ``folder``, as `send`."""
        place = experiment_of(result.dataset)
        self.describe_page(place, result.dataset_title, result.regions)
        return self.send(RESULT, place, describe_result(result, folder), parent)

    def describe_page(self, place: str, title: str, regions: Sequence[str]) -> None:
        """Give a data set's experiment the view that `view_path` opens; a missing one is made."""
        if regions and place not in self.described:
            with reaching(self.uri), self.lock:
                experiment = self.client.get_experiment(self.find_experiment(place))
                describe_results_page(self.client, experiment, title, regions)
            self.described.add(place)

    def describe_study(self, place: str) -> None:
        """Give a study's experiment its kind and description; a missing one is made."""
        with reaching(self.uri), self.lock:
            experiment = self.client.get_experiment(self.find_experiment(place))
            describe_study_page(self.client, experiment)

    def find_pages(self) -> list[tuple[str, str]]:
        """Return name and id of the experiments that have a prepared view, the newest first."""
        with reaching(self.uri):
            found = self.client.search_experiments()
        return [(each.name, each.experiment_id) for each in found if VIEW_TAG in each.tags]

    def send(self, kind: Kind, experiment: str, entry: Entry, parent: str = "") -> bool:
        """Make sure that the store holds exactly this record; return False if it did already.

        Older runs of the record and attempts that were cut off are deleted, as in the MLflow UI,
        before the new one is written. One that is done is kept if the new one is not.
        ``parent`` is MLflow's id of the run that it is shown under.
        """
        with reaching(self.uri), self.lock:
            place = self.find_experiment(experiment)
            found = self._find_runs(place, kind.key_tag, entry.tags[kind.key_tag])
            for run in found:
                if self._is_whole(run, kind, entry):
                    if parent and run.data.tags.get(PARENT_TAG) != parent:
                        self.client.set_tag(run.info.run_id, PARENT_TAG, parent)
                    return False
            if entry.tags.get(STATUS_TAG) != Status.DONE and any(map(is_done, found)):
                return False
            self._delete_dead(found)
            made = replace(entry, tags=entry.tags | {MADE_TAG: tell_time()})
            write_run(self.client, place, made, parent)
            if database_file(self.uri) is None:
                self._keep_first(place, kind, entry)
        return True

    def _delete_dead(self, found: Sequence[Run]) -> None:
        """Delete older runs of a record, but none that another command may be writing."""
        for run in found:
            made_ns = int(run.data.tags.get(MADE_TAG) or 0)
            is_fresh = time.time_ns() - made_ns < LONGEST_SENDING_NS
            if run.info.status == RUNNING and is_fresh and database_file(self.uri) is None:
                continue  # a server has no lock
            self._delete_run(run)

    def _delete_run(self, run: Run) -> None:
        self.client.delete_run(run.info.run_id)
        delete_models(self.client, run.info.experiment_id, run.info.run_id)

    def _keep_first(self, place: str, kind: Kind, entry: Entry) -> None:
        """Delete all but one run of a record, if several commands sent it to a server at once."""
        found = self._find_runs(place, kind.key_tag, entry.tags[kind.key_tag])
        whole = [run for run in found if run.info.status != RUNNING]
        for run in sorted(whole, key=lambda run: (not is_done(run), made_at(run)))[1:]:
            self._delete_run(run)

    def _find_runs(self, place: str, tag: str, value: str) -> list[Run]:
        """Return the runs of an experiment with this tag, any signs in its value."""
        query = f"tags.`{tag}` = '{value}'" if can_be_filtered(value) else ""
        runs = self._iter_runs([place], query)
        return [run for run in runs if run.data.tags.get(tag) == value]

    def _is_whole(self, run: Run, kind: Kind, entry: Entry) -> bool:
        equal = run.data.tags.get(kind.digest_tag) == entry.tags[kind.digest_tag]
        return equal and run.info.status != RUNNING and self._has_file(run, kind.file)

    def open_group(self, group: Group, dataset: str) -> str:
        """Return the id of a command's parent run for a data set; a missing one is made."""
        with reaching(self.uri), self.lock:
            place = self.find_experiment(experiment_of(dataset))
            found = self._find_runs(place, GROUP_TAG, group.id)
            if not found:
                tags = {GROUP_TAG: group.id, "group": group.id, "dataset": tag_of(dataset)}
                tags[MADE_TAG] = tell_time()
                started_ms = milliseconds(group.started_at)
                self.client.create_run(place, started_ms, tags, group.title[:LONGEST_NAME])
                found = self._find_runs(place, GROUP_TAG, group.id)
            # on a server another command may have made one at the same time: the first is kept
            first, *others = sorted(found, key=made_at)
            for run in others:
                self.client.delete_run(run.info.run_id)
            return first.info.run_id

    def close_group(self, parent: str, entry: Entry) -> None:
        with reaching(self.uri), self.lock:
            for key, value in entry.tags.items():
                self.client.set_tag(parent, key, value)
            fill_run(self.client, parent, entry, entry.metrics)
            self.client.set_terminated(parent, entry.status, entry.end_ms)

    def load_results(self, *datasets: str) -> list[RunResult]:
        """Return all results, or those of some data sets, in the order in which runs started.

        Deleted, interrupted and parent runs, trials and runs of other people are left out.
        """
        return self.load(RESULT, read_artifact, datasets)

    def load(
        self, kind: Kind, read: Callable[[Path], Record], experiments: Collection[str] = ()
    ) -> list[Record]:
        """Return the whole records of all, or some, experiments; TrackingError if a file lacks."""
        records = []
        with reaching(self.uri), gc_paused(), tempfile.TemporaryDirectory() as scratch:
            for run in self._iter_whole_runs(kind, experiments):
                file = self._find_file(run, kind.file, Path(scratch))
                if file is None:
                    name, place = run.info.run_name, run.info.artifact_uri
                    raise TrackingError(describe_missing(self.uri, name, kind.file, place))
                records.append(read(file))
                self.runs[run.data.tags[kind.key_tag]] = run
        return records

    def list_datasets(self) -> list[str]:
        """Return the names of the experiments that hold results."""
        with reaching(self.uri):
            names = [experiment.name for experiment in self.client.search_experiments()]
            return sorted(name for name in names if any(self._iter_whole_runs(RESULT, [name])))

    def _iter_whole_runs(self, kind: Kind, experiments: Collection[str]) -> Iterator[Run]:
        places = []
        for each in self.client.search_experiments():
            is_study = each.name.startswith(STUDIES)
            if is_study == (kind is STUDY) and (not experiments or each.name in experiments):
                places.append(each.experiment_id)
        query = f"tags.`{kind.digest_tag}` LIKE '%' AND attributes.status != '{RUNNING}'"
        yield from self._iter_runs(places, query)

    def _iter_runs(self, places: Sequence[str], query: str) -> Iterator[Run]:
        """Yield the runs of some experiments in the order in which they started."""
        search, token = self.client.search_runs, None
        order = ["attributes.start_time ASC"]
        while places:
            page = search(places, query, max_results=PAGE, order_by=order, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def fetch_file(self, run_id: str, name: str, scratch: Path) -> Path | None:
        """Return a file of a run that was read, or None; ``scratch`` gets at most one copy."""
        with reaching(self.uri):
            return self._find_file(self.runs[run_id], name, scratch)

    def _find_file(self, run: Run, name: str, scratch: Path) -> Path | None:
        local = find_local_folder(run.info.artifact_uri)
        if local is not None:  # MLflow takes longer than reading does
            return local / name if (local / name).is_file() else None
        folder = scratch / run.info.run_id
        if (folder / name).is_file():
            return folder / name
        if not self._has_file(run, name):
            return None
        folder.mkdir(exist_ok=True)
        return Path(self.client.download_artifacts(run.info.run_id, name, str(folder)))

    def _has_file(self, run: Run, name: str) -> bool:
        return any(file.path == name for file in self.client.list_artifacts(run.info.run_id))

    def find_experiment(self, name: str) -> str:
        """Return the id of an experiment; a missing one is made."""
        from mlflow.exceptions import MlflowException

        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            try:
                return self.client.create_experiment(name, artifact_place(self.uri, name))
            except MlflowException:  # made meanwhile by another command, or a true error
                experiment = self.client.get_experiment_by_name(name)
                if experiment is None:
                    raise
        if experiment.lifecycle_stage == "deleted":
            hint = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
            rule = f"experiment '{name}' must not be deleted ({hint})"
            raise TrackingError(f"store {self.uri}: {rule}")
        return experiment.experiment_id


def describe_missing(uri: str, name: str, file: str, place: str) -> str:
    """Return the sentence for a run whose record is not among its artifacts."""
    hint = f"`{PROGRAM} sync` sends it again"
    return f"store {uri}: run '{name}' must have its {file}, found none in {place} ({hint})"


def read_artifact(file: Path) -> RunResult:
    """Return the result in a file of a store."""
    return RunResult.from_json(read_text(file, SEND_AGAIN), str(file))
