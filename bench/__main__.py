"""Start the command line, after checking that the packages it will import are its own."""

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("bench", "methods", "datasets", "reports")


def find_shadowing_package() -> str | None:
    """Return a sentence if one of our package names belongs to another distribution, else None."""
    for name in PACKAGES:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            found = "cannot be found"
        elif Path(spec.origin).resolve().parent.parent == ROOT:
            continue
        else:
            found = f"comes from {Path(spec.origin).resolve()}"
        hint = f"run `python -m bench` from {ROOT}"
        return f"start-up: the package '{name}' {found} instead of {ROOT} ({hint})"
    return None


if __name__ == "__main__":
    shadowing = find_shadowing_package()
    if shadowing is not None:
        sys.stderr.write(f"error: {shadowing}\n")
        sys.exit(2)
    from bench.cli.app import main

    sys.exit(main())
