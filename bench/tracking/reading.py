"""Open a store to read it: what is not there is not made."""

from bench.tracking.connection import database_file, default_uri
from bench.tracking.store import Store, open_store


def open_existing(nothing: str) -> Store:
    """Return the store; raise ValueError with the sentence ``nothing`` if there is no file of it.

    Raises: TrackingError if it cannot be reached.
    """
    file = database_file(default_uri())
    if file is not None and not file.exists():
        raise ValueError(nothing)
    return open_store()
