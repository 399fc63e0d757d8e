"""Addresses of SQLite files, as SQLAlchemy reads them for MLflow and Optuna."""

import os
from pathlib import Path

from bench.specs.protocol import SpecError

SQLITE = "sqlite:///"
SPECIAL = ("?", "%")  # begin the options of an address, or the number of a sign


def sqlite_address(file: Path) -> str:
    """Return the address of a file; from the working directory where signs of its own are special.

    Raises: SpecError if the rest of the path has such signs as well.
    """
    for path in (str(file), os.path.relpath(file)):
        if not any(sign in path for sign in SPECIAL):
            return f"{SQLITE}{path}"
    raise SpecError(f"{file}: the path of a database must have no {' and no '.join(SPECIAL)}")


def find_sqlite_file(address: str) -> Path | None:
    """Return the file of a SQLite address, or None if the address is of something else."""
    if not address.startswith(SQLITE):
        return None
    from sqlalchemy.engine import make_url

    name = make_url(address).database
    return Path(name).resolve() if name else None
