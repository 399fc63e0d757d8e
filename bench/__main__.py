"""Start the command line, after checking that the packages it will import are its own."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("bench", "methods", "datasets", "reports")


def find_impostor(packages: tuple[str, ...] = PACKAGES) -> str | None:
    """Return a sentence if one of our package names belongs to another distribution on this path, else None."""
    for name in packages:
        spec = find_spec(name)
        where = Path(spec.origin).resolve() if spec and spec.origin else None
        if where is None or where.parent.parent != ROOT:
            found = f"comes from {where}" if where else "cannot be found"
            return f"start-up: the package '{name}' {found} instead of {ROOT} (run `python -m bench` from {ROOT})"
    return None


if __name__ == "__main__":
    impostor = find_impostor()
    if impostor is not None:
        sys.stderr.write(f"error: {impostor}\n")
        sys.exit(2)
    from bench.cli.app import main

    sys.exit(main())
