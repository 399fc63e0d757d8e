"""Addresses at which the MLflow UI shows the results."""

from collections.abc import Sequence

from bench.tracking.connection import TrackingError, default_uri
from bench.tracking.entities.experiments import view_path
from bench.tracking.keys import experiment_of
from bench.tracking.reading import open_existing
from reports.records.text import mask_passwords

DEFAULT_SERVER = "http://127.0.0.1:5000"  # of `mlflow ui` without options


def list_addresses(datasets: Sequence[str] = (), server: str = DEFAULT_SERVER) -> list[str]:
    """Return the addresses of the data sets' prepared views, of all or of some data sets.

    The list is empty where there is no store, or where it does not answer.
    """
    uri = default_uri()
    try:
        pages = open_existing("no store").find_pages()
    except (TrackingError, ValueError):
        return []
    wanted = {experiment_of(dataset) for dataset in datasets}
    base = mask_passwords(uri.rstrip("/")) if uri.startswith("http") else server
    return [
        base + view_path(experiment_id)
        for name, experiment_id in pages
        if not wanted or name in wanted
    ]
