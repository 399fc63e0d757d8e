"""Where the four packages are, and how a process finds them before others with the same names."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("bench", "methods", "datasets", "reports")
MARK = '__distribution__ = "medtuning-bench"'  # a line in the __init__.py of each
HERE = Path(__file__).resolve().parent
ROOT = HERE if (HERE / "bench").is_dir() else HERE.parent  # of the wheel, or of the repository


def put_first() -> None:
    """Let this process, and those that it starts, look for packages in `ROOT` first."""
    root = str(ROOT)
    if root not in map(_resolve, sys.path[:1]):
        sys.path.insert(0, root)
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [each for each in others if each and each != root]
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *kept])


def find_foreign_package() -> str | None:
    """Return a sentence if one of our package names belongs to another distribution, else None."""
    for name in PACKAGES:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            found = "cannot be found"
        else:
            file = Path(spec.origin).resolve()
            if file.parent.parent != ROOT:
                found = f"comes from {file}"
            elif MARK not in file.read_text(encoding="utf-8").splitlines():
                found = f"was overwritten by another distribution ({file})"
            else:
                continue
        hint = "install medtuning-bench into a fresh virtual environment"
        if ROOT != HERE:
            hint = f"run `python -m bench` from {ROOT}"
        return f"start-up: the package '{name}' {found} instead of {ROOT} ({hint})"
    return None


def _resolve(entry: str) -> str:
    return str(Path(entry).resolve())
