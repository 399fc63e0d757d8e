"""The names that a report prints instead of keys: of ``--names FILE`` and ``--name KEY=TEXT``."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.files import read_text
from methods.settings import suggest
from reports.analysis.quantities import QUANTITIES
from reports.names import BUILT_IN, Names
from reports.records.metrics import METRICS
from reports.records.run import RunResult


def read_names(file: Path | None, pairs: Mapping[str, str]) -> Names:
    """Return the names of the file and, before them, of ``pairs``.

    Raises: ValueError if the file does not exist, is no TOML, or a name is no text.
    """
    names: dict[str, str] = {}
    if file is not None:
        if not file.is_file():
            fault = "a folder" if file.is_dir() else "not there"
            raise ValueError(f"--names: must be a TOML file, got {file}, which is {fault}")
        try:
            found = tomllib.loads(read_text(file, "save it as TOML in UTF-8"))
        except (RecursionError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"--names: {file} must be TOML, got {error}") from None
        for key, text in found.items():
            if not isinstance(text, str) or not text.strip():
                rule = f'--names: {file}, {key}: must be a text in quotes, such as "LoRA"'
                raise ValueError(f"{rule}, got {text!r}")
            names[key] = text
    return Names(names | dict(pairs))


def check_keys(names: Names, results: Sequence[RunResult]) -> None:
    """Raise ValueError if a key of the user's names is none of the results, nor a built-in one."""
    known = {*BUILT_IN, *QUANTITIES, *METRICS, "method", "mean"}
    for run in results:
        known |= {run.label, run.method, run.dataset, run.backbone, run.weights}
        known |= {*run.regions, *run.settings}
    for key in names.own:
        if key not in known:
            raise ValueError(f"report: nothing is called '{key}'{suggest(key, sorted(known))}")
