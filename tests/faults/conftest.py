"""The stores of the tests of `bench`."""

from tests.bench.conftest import database, new_store

__all__ = ["database", "new_store"]
