"""Results in MLflow: an experiment per data set, a parent run per command, a nested run per result.

``result.json`` in a run's folder is the durable record. The store is a copy of it, to browse and to
report from. Hence a run is sent whole when it has ended, and sending it again repairs what an
interrupted attempt left behind.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from bench.tracking import entries, local_store
from bench.tracking.connection import TrackingError, default_uri, reaching
from bench.tracking.entries import GROUP_TAG, PARENT_TAG, RESULT, STUDIES, STUDY, Entry, Kind
from bench.tracking.groups import Group, state_of_group, summarise_group
from reports.records.run import RunResult, Status, read_result

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000  # the most runs per request
BATCH = 1000  # the most metrics per request
RUNNING = "RUNNING"  # MLflow's word; a run's status is set last, so one in this state was cut off
SUMMARY_FILE = "summary.md"


def open_store(uri: str | None = None) -> Store:
    """Return the store at ``uri`` (default: `default_uri`); a missing SQLite file is made.

    Raises: TrackingError if it cannot be reached.
    """
    uri = uri or default_uri()
    with reaching(uri):
        from mlflow import MlflowClient

        store = Store(uri, MlflowClient(tracking_uri=uri))
        store.client.search_experiments(max_results=1)
    return store


@dataclass(frozen=True)
class Store:
    """An MLflow store that has answered.

    Every method raises TrackingError if the store cannot be reached.
    """

    uri: str
    client: MlflowClient = field(repr=False)
    runs: dict[str, Run] = field(default_factory=dict, repr=False)  # read so far, by ``run_id``

    def log_result(self, result: RunResult, folder: Path, parent: str = "") -> bool:
        """Make sure that the store holds exactly this result, with the pictures in ``folder``.

        Returns False if it did already. Otherwise everything that the store has under this
        ``run_id`` (an older result, an attempt that was cut off) is deleted, as in the MLflow UI,
        before the new run is written. ``parent`` is MLflow's id of the run that it is shown under.
        """
        entry = entries.describe_result(result, folder)
        if parent:
            entry.tags[PARENT_TAG] = parent
        with reaching(self.uri):
            place = self.find_experiment(result.dataset)
            whole = self.find_or_clear(RESULT, place, entry)
            if whole is not None:
                if parent and whole.data.tags.get(PARENT_TAG) != parent:
                    self.client.set_tag(whole.info.run_id, PARENT_TAG, parent)
                return False
            with self.new_run(place, entry) as run_id, tempfile.TemporaryDirectory() as scratch:
                entries.write_artifacts(Path(scratch), result, folder)
                self.client.log_artifacts(run_id, scratch)
        return True

    def find_or_clear(self, kind: Kind, experiment: str, entry: Entry) -> Run | None:
        """Return the run that holds the entry as a whole, or delete all runs of its record."""
        key, digest = entry.tags[kind.key_tag], entry.tags[kind.digest_tag]
        query = f"tags.`{kind.key_tag}` = '{key}'"
        found = self.client.search_runs([experiment], query, max_results=PAGE)
        for run in found:
            equal = run.data.tags.get(kind.digest_tag) == digest
            if equal and run.info.status != RUNNING and self._has_file(run, kind.file):
                return run
        for run in found:
            self.client.delete_run(run.info.run_id)
        return None

    @contextmanager
    def new_run(self, experiment: str, entry: Entry) -> Iterator[str]:
        """Create a run, yield its id, and set its status if the block ends without an error."""
        from mlflow.entities import Param

        run = self.client.create_run(
            experiment, start_time=entry.start_ms, tags=entry.tags, run_name=entry.name
        )
        run_id = run.info.run_id
        params = [Param(key, value) for key, value in entry.params.items()]
        self.client.log_batch(run_id, params=params)
        for start in range(0, len(entry.metrics), BATCH):
            self.client.log_batch(run_id, entry.metrics[start : start + BATCH])
        yield run_id
        self.client.set_terminated(run_id, entry.status, end_time=entry.end_ms)

    def open_group(self, group: Group, dataset: str) -> str:
        """Return the id of a command's parent run for a data set; a missing one is made."""
        with reaching(self.uri):
            place = self.find_experiment(dataset)
            query = f"tags.`{GROUP_TAG}` = '{group.id}'"
            found = self.client.search_runs([place], query, max_results=1)
            if found:
                return found[0].info.run_id
            run = self.client.create_run(
                place,
                start_time=entries.milliseconds(group.started_at),
                tags={GROUP_TAG: group.id, "group": group.id, "dataset": dataset},
                run_name=group.title,
            )
            return run.info.run_id

    def close_group(
        self, parent: str, group: Group, results: Sequence[RunResult], tables: Sequence[str]
    ) -> None:
        """Bring a parent run up to date: its note, its tables, how many runs ended how, its state.

        ``parent`` is MLflow's id of the run. ``results`` are those of the command on one data set
        that have ended, at least one. ``tables`` are in Markdown.
        """
        with reaching(self.uri):
            for key, value in summarise_group(group, results, tables).items():
                self.client.set_tag(parent, key, value)
            self.client.log_text(parent, "\n".join(tables), SUMMARY_FILE)
            for status in Status:
                count = sum(result.status == status for result in results)
                self.client.log_metric(parent, f"runs/{status}", count)
            end_ms = max(entries.times_ms(result)[1] for result in results)
            self.client.set_terminated(parent, state_of_group(group, results), end_time=end_ms)

    def load_results(self, dataset: str | None = None) -> list[RunResult]:
        """Return all results, or those of one data set, in the order in which their runs started.

        Runs that were deleted or cut off are left out, and so are parent runs, tuning trials and
        other people's runs in the same experiments.

        Raises: TrackingError also if a run lacks its file.
        """
        results = []
        with reaching(self.uri), gc_paused(), tempfile.TemporaryDirectory() as scratch:
            for run in self.iter_whole_runs(RESULT, dataset):
                result = read_result(self.fetch_record(RESULT, run, Path(scratch)).parent)
                assert result is not None
                results.append(result)
                self.runs[result.run_id] = run
        return results

    def list_datasets(self) -> list[str]:
        """Return the names of the experiments that hold results."""
        with reaching(self.uri):
            names = [experiment.name for experiment in self.client.search_experiments()]
            return sorted(name for name in names if any(self.iter_whole_runs(RESULT, name)))

    def iter_whole_runs(self, kind: Kind, experiment: str | None = None) -> Iterator[Run]:
        """Yield the runs that hold a record as a whole, by start, of one experiment or all."""
        places = []
        for each in self.client.search_experiments():
            is_study = each.name.startswith(STUDIES)
            if is_study == (kind is STUDY) and experiment in (None, each.name):
                places.append(each.experiment_id)
        query = f"tags.`{kind.digest_tag}` LIKE '%' AND attributes.status != '{RUNNING}'"
        order, token = ["attributes.start_time ASC"], None
        while places:
            page = self.client.search_runs(
                places, query, max_results=PAGE, order_by=order, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def fetch_file(self, run_id: str, name: str, scratch: Path) -> Path | None:
        """Return a file of a run that was read, in place or copied into ``scratch``, or None."""
        with reaching(self.uri):
            return self._find_file(self.runs[run_id], name, scratch)

    def fetch_record(self, kind: Kind, run: Run, scratch: Path) -> Path:
        """Return the file of a run's record, in place or copied into ``scratch``.

        Raises: TrackingError if it is not there.
        """
        file = self._find_file(run, kind.file, scratch)
        if file is None:
            rule = f"run '{run.info.run_name}' must have its {kind.file}"
            raise TrackingError(
                f"store {self.uri}: {rule}, found none in {run.info.artifact_uri} "
                "(`python -m bench sync` sends it again)"
            )
        return file

    def _find_file(self, run: Run, name: str, scratch: Path) -> Path | None:
        """Return a file of a run; in place, if it is on this machine, which is faster."""
        place = urlsplit(run.info.artifact_uri)
        if place.scheme == "file":
            file = Path(url2pathname(place.path), name)
            return file if file.is_file() else None
        if not self._has_file(run, name):
            return None
        folder = scratch / run.info.run_id
        folder.mkdir(exist_ok=True)
        return Path(self.client.download_artifacts(run.info.run_id, name, str(folder)))

    def _has_file(self, run: Run, name: str) -> bool:
        return any(file.path == name for file in self.client.list_artifacts(run.info.run_id))

    def find_experiment(self, name: str) -> str:
        """Return the id of an experiment, which is made if need be."""
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            place = local_store.artifact_place(self.uri, name)
            return self.client.create_experiment(name, place)
        if experiment.lifecycle_stage == "deleted":
            hint = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
            raise TrackingError(
                f"store {self.uri}: experiment '{name}' must not be deleted ({hint})"
            )
        return experiment.experiment_id


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the search for cyclic garbage, which takes half of the time of reading many results."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
