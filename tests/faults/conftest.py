"""The stores, data and runs of the tests of `bench`."""

from tests.bench.conftest import carry_out, database, make_run, new_store, phantoms, prepared

__all__ = ["carry_out", "database", "make_run", "new_store", "phantoms", "prepared"]
