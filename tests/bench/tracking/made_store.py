"""A store with many runs in seconds, for tests and benchmarks of what reads it."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from bench.tracking import entries
from bench.tracking.store import open_store
from reports.records.run import RESULT_FILE, RunResult


def fill_fast(folder: Path, results: list[RunResult]) -> None:
    """Put runs into a store as `Store.log_result` does, but row by row into its tables: MLflow itself takes minutes."""
    store = open_store(f"sqlite:///{folder}/mlflow.db")
    places = {name: store.find_experiment(name) for name in {result.dataset for result in results}}
    template = store.client.create_run(places[results[0].dataset]).info.run_id
    store.client.set_terminated(template)
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.row_factory = sqlite3.Row
        row = dict(
            database.execute("select * from runs where run_uuid = ?", (template,)).fetchone()
        )
        database.execute(
            "update runs set lifecycle_stage = 'deleted' where run_uuid = ?", (template,)
        )
        for result in results:
            own = uuid.uuid4().hex
            artifacts = folder / "mlruns" / result.dataset / own / "artifacts"
            artifacts.mkdir(parents=True)
            (artifacts / RESULT_FILE).write_text(result.to_json())
            place = {
                "run_uuid": own,
                "experiment_id": places[result.dataset],
                "artifact_uri": artifacts.as_uri(),
            }
            insert(database, "runs", [tuple((row | place).values())])
            insert(
                database, "tags", [(key, value, own) for key, value in entries.tags(result).items()]
            )
            insert(
                database,
                "params",
                [(key, value, own) for key, value in entries.params(result).items()],
            )
            last = {
                key: (key, value, 0, step, False, own)
                for key, value, step in entries.metrics(result)
            }
            insert(database, "latest_metrics", list(last.values()))


def insert(database: sqlite3.Connection, table: str, rows: list[tuple[object, ...]]) -> None:
    database.executemany(f"insert into {table} values ({', '.join('?' * len(rows[0]))})", rows)
