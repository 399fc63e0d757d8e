"""Probes of a grid: one a method, data set, backbone and patch, carried out once on a machine."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from bench.grid.bill.miniature import cut_split, make_probe
from bench.grid.plan import OnCase
from bench.grid.runner import Event, run_grid, split_finished
from bench.grid.slots import Slots
from bench.grid.sources import DataSource
from bench.run.cases import preparation_of, split_of
from bench.run.provenance import hash_code, name_device
from bench.specs.run import RunSpec, digest
from datasets.files import FileError, adapter_of, make_folder, read_record, write_durably
from reports.records.run import RunResult

PROBES, PREPARED = "probes", "prepared.json"  # folder in the cache, and file in it
FUNCTION = "bench.grid.bill.miniature:probe_run"


@dataclass(frozen=True)
class Prepared:
    """What the preparation of a data set takes.

    Attributes:
        case_s: seconds of a case.
        case_mib: size of a case.
    """

    case_s: float
    case_mib: float


KINDS = dict[str, Prepared]


def find_probes(specs: Sequence[RunSpec]) -> dict[str, RunSpec]:
    """Return the probe of each run, by the run's id; many runs share one."""
    first: dict[str, int] = {}  # fold of each data set
    probes = {}
    for spec in specs:
        fold = first.setdefault(spec.dataset, spec.fold)
        probes[spec.run_id] = make_probe(spec, fold)
    return probes


def probe_folder(out: Path, slots: Slots) -> Path:
    """Return the folder of the probes of this machine, this code and this way to compute."""
    devices = sorted({*map(name_device, slots.devices)})
    number = len(slots.devices)  # runs at once slow each other down
    facts = [
        devices,
        number,
        asdict(slots.means.execution),
        slots.means.n_devices,
        slots.means.compiled,
        hash_code(),
        version("torch"),
    ]
    return out / "cache" / PROBES / digest(facts)


def prepare_probes(
    probes: Sequence[RunSpec], sources: Sequence[DataSource], folder: Path, on_case: OnCase
) -> dict[str, Prepared]:
    """Prepare the cases of the probes; return what that took the first time, by data set."""
    from datasets.prepared.prepare import prepare

    known = _read_prepared(folder)

    by_name = {source.name: source for source in sources}
    found = {}
    for probe in {probe.dataset: probe for probe in probes}.values():
        source = by_name[probe.dataset]
        key = f"{source.name} {source.fingerprint} {probe.protocol_id}"
        split = cut_split(split_of(source.dataset, source.cases, probe))
        ids = {*split.train, *split.val}
        cases = [case for case in source.cases if case.id in ids]
        on_new = partial(on_case, f"preparing {source.name}")
        started = time.perf_counter()
        settings = preparation_of(probe.protocol.data)
        ready = prepare(source.dataset, cases, folder / "cache", on_new, settings, 1)
        took_s = time.perf_counter() - started
        size = sum(count_bytes(each.folder) for each in ready) / len(ready)
        known.setdefault(key, Prepared(took_s / len(ready), size / 2**20))
        found[source.name] = known[key]
    make_folder(folder)
    write_durably(folder / PREPARED, adapter_of(KINDS).dump_json(known))
    return found


def _read_prepared(folder: Path) -> dict[str, Prepared]:
    try:
        return read_record(folder / PREPARED, KINDS, "it is written anew")
    except (FileError, FileNotFoundError):
        return {}


def carry_out_probes(
    probes: Sequence[RunSpec], folder: Path, slots: Slots, on_event: Callable[[Event], None]
) -> dict[str, RunResult]:
    """Carry out the probes that are not done yet; return the results by the probes' ids."""
    distinct = list({probe.run_id: probe for probe in probes}.values())
    _, to_do = split_finished(distinct, folder)
    run_grid(to_do, folder, slots, on_event, function=FUNCTION)
    finished, _ = split_finished(distinct, folder)
    return {probe.run_id: result for probe, result in finished}


def count_bytes(folder: Path) -> int:
    """Return the bytes of the files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
