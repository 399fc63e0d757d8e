"""Where the four packages are, and how a process finds them before others with the same names."""

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

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


def make_findable() -> None:
    """Let this process find our packages after all others, so that nobody's import changes."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))


@contextmanager
def as_program() -> Iterator[None]:
    """Work as the command line does, inside a process that may have packages of the same names.

    Inside, the four names mean our packages, and child processes do not import the script of the
    caller. Afterwards the names mean what they meant before.
    """
    with STAGE.lock:
        STAGE.depth += 1
        try:
            if STAGE.depth == 1:
                STAGE.enter()
            yield
        finally:
            if STAGE.depth == 1:
                STAGE.leave()
            STAGE.depth -= 1


class _Stage:
    """What `as_program` has put aside, of ours or of others."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.depth = 0
        self.swapped: list[str] = []
        self.ours: dict[str, ModuleType] = {}
        self.others: dict[str, ModuleType] = {}
        self.path: list[str] = []
        self.python_path: str | None = None
        self.main = sys.modules["__main__"]

    def enter(self) -> None:
        self.swapped = [name for name in PACKAGES if _means_another(name)]
        self.others = _take_modules(self.swapped)
        sys.modules.update(self.ours)
        self.path = list(sys.path)
        self.python_path = os.environ.get("PYTHONPATH")
        self.main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        put_first()

    def leave(self) -> None:
        sys.modules["__main__"] = self.main
        sys.path[:] = self.path
        if self.python_path is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = self.python_path
        self.ours = _take_modules(self.swapped)
        sys.modules.update(self.others)


STAGE = _Stage()


def _means_another(name: str) -> bool:
    """Return whether a name means, or would mean, a package that is not ours."""
    module = sys.modules.get(name)
    if module is not None:
        file = module.__file__
    else:
        spec = find_spec(name)
        file = spec.origin if spec is not None else None
    return file is not None and Path(file).resolve().parent.parent != ROOT


def _take_modules(names: Sequence[str]) -> dict[str, ModuleType]:
    """Remove packages with all their modules from those that are imported, and return them."""
    taken = [each for each in sys.modules if each.partition(".")[0] in names]
    return {each: sys.modules.pop(each) for each in taken}
