"""The options for sbatch: typed as ``--slurm``, or in a TOML file of a site."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.specs.protocol import SpecError
from datasets.files import read_text
from reports.records.text import count

NEXT = re.compile(r",(?=\s*[A-Za-z][\w-]*=|[^=,]+\.toml(?:,|$))")  # a comma before a new option
NAME = re.compile(r"[A-Za-z][\w-]*")
OWN = ("array", "job_name", "output", "error", "open_mode", "wrap", "test_only", "parsable", "wait")
SETUP = "setup"  # lines of shell that a site's file gives, before the job's own
SINGLE = ("nodes", "ntasks", "ntasks_per_node")  # a run is one process
GPUS = ("gpus", "gpus_per_node", "gpus_per_task", "gres", "tres_per_node")
COUNT = re.compile(r"(?:^|:|=)(\d+)$")  # of "gpu:a100:1", "a100:1" or "1"


@dataclass(frozen=True)
class SlurmOptions:
    """Options for sbatch; a value of True is a flag without a value."""

    flags: tuple[tuple[str, str | bool], ...] = ()
    setup: tuple[str, ...] = ()

    @property
    def wants_gpu(self) -> bool:
        """Whether they ask for a GPU."""
        return self.n_gpus > 0

    @property
    def n_gpus(self) -> int:
        """How many GPUs they ask for."""
        return max((_count_gpus(name, value) for name, value in self.flags), default=0)

    def list_flags(self) -> list[str]:
        """Return them as arguments."""
        arguments = []
        for name, value in self.flags:
            flag = f"--{name.replace('_', '-')}"
            arguments.append(flag if value is True else f"{flag}={value}")
        return arguments


def read_slurm(items: Iterable[str], n_devices: int = 1) -> SlurmOptions:
    """Return the options of ``partition=gpu,time=8:00:00``, ``site.toml``, ``exclusive``, ...

    Later ones override earlier ones. A comma begins a new option where ``NAME=`` follows.
    Raises: SpecError if one cannot be read, is not the user's to set, or asks for another number of
    GPUs than ``n_devices``; FileError, OSError.
    """
    flags: dict[str, str | bool] = {}
    setup: tuple[str, ...] = ()
    for source, name, value in _iter_options(items):
        if name == SETUP:
            setup = _read_setup(source, value)
            continue
        _check(source, name, value, n_devices)
        if value is False:
            flags.pop(name, None)
        else:
            flags[name] = value if isinstance(value, bool) else str(value)
    return SlurmOptions(tuple(flags.items()), setup)


def _iter_options(items: Iterable[str]) -> Iterator[tuple[str, str, object]]:
    """Yield where each option is from, its name and its value."""
    for item in items:
        for part in NEXT.split(item):
            if part.strip().endswith(".toml") and "=" not in part:
                yield from _read_site(Path(part.strip()))
                continue
            name, equals, value = part.strip().partition("=")
            if NAME.fullmatch(name) is None or (equals and not value):
                rule = "must be NAME=VALUE,NAME=VALUE or a site's FILE.toml"
                raise SpecError(f"--slurm: {rule}, got '{part:.60}'")
            yield "--slurm", _normalise(name), value if equals else True


def _read_site(file: Path) -> Iterator[tuple[str, str, object]]:
    hint = 'a TOML file with lines such as partition = "gpu"'
    if not file.is_file():
        raise SpecError(f"--slurm: {file} must be a file, found none ({hint})")
    try:
        table = tomllib.loads(read_text(file, hint))
    except (RecursionError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"--slurm: {file}: must be TOML, got {error} ({hint})") from None
    for name, value in table.items():
        yield f"--slurm: {file}", _normalise(name), value


def _normalise(name: str) -> str:
    return name.replace("-", "_")


def _read_setup(source: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        rule = f"{SETUP} must be a list of lines of shell"
        raise SpecError(f'{source}: {rule}, got {value!r:.60} (setup = ["module load cuda"])')
    return tuple(value)


def _check(source: str, name: str, value: object, n_devices: int) -> None:
    """Raise SpecError for an option that is not the user's to set, or a value of no kind."""
    if not isinstance(value, str | int | float | bool):
        raise SpecError(f"{source}: {name} must be a text, a number or true, got {value!r:.60}")
    if name in OWN:
        raise SpecError(f"{source}: {name} is set by the benchmark, got {name}={value}")
    if name in SINGLE and str(value) != "1":
        raise SpecError(f"{source}: {name} must be 1, as a job is one run, got {value}")
    if _count_gpus(name, value) not in (0, n_devices):
        rule = f"must be {count(n_devices, 'GPU')}, as a job is one run"
        raise SpecError(f"{source}: {name} {rule}, got {value} (--devices tells how many)")


def _count_gpus(name: str, value: object) -> int:
    """Return how many GPUs an option asks for."""
    if name not in GPUS:
        return 0
    text = str(value)
    if name in ("gres", "tres_per_node") and "gpu" not in text:
        return 0
    match = COUNT.search(text)
    return int(match[1]) if match else 1
