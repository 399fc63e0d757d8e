"""Compare parameter-efficient tuning methods on volumetric segmentation, from Python.

    import medtuning_bench as mb

    results = mb.run(methods="linear,lora", datasets="brats")    # synthetic volumes without data
    results.table()

In the repository this package stands beside ``bench``, ``methods``, ``datasets`` and ``reports``.
The wheel keeps these four inside it, so that they overwrite no other distribution.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from medtuning_bench.place import as_program, make_findable

if TYPE_CHECKING:
    from medtuning_bench.inference import Segmenter
    from medtuning_bench.registering import register
    from medtuning_bench.results import Results, load
    from medtuning_bench.running import run

__all__ = ["Results", "Segmenter", "load", "register", "run"]
MODULES = {  # imported on first use, for some of them need torch
    "Results": "results",
    "Segmenter": "inference",
    "load": "results",
    "register": "registering",
    "run": "running",
}
make_findable()


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    with as_program():
        return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
