"""What runs have left, as frames, tables and pictures."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

import methods
from bench.specs.run import RUNS
from medtuning_bench.place import as_program
from methods.settings import suggest
from reports.analysis.quantities import COSTS
from reports.analysis.tidy import MEAN, case_table, fold_means
from reports.formats import FORMATS
from reports.records.run import RESULT_FILE, RunResult, Status, read_result
from reports.tables.build import ALL, KINDS, ReportRequest, build_tables, summarise
from reports.tables.families import find_families
from reports.tables.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FACTS = ("run_id", "label", "method", "dataset", "backbone", "weights", "fold", "seed")
PLOTS = ("parameters", "flops", "memory", "time", "cases", "ranks", "learning")


@dataclass(frozen=True)
class Results:
    """The results of some runs.

    Attributes:
        records: the records as ``result.json`` has them, one for each run.
    """

    records: tuple[RunResult, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        counts = Counter(run.status.value for run in self.records)
        ended = ", ".join(f"{number} {status}" for status, number in counts.items())
        return f"Results({len(self)} runs: {ended or 'none'})"

    @cached_property
    @as_program()
    def runs(self) -> pd.DataFrame:
        """A row for each run: what it was, how it ended, means over its held-out cases, costs.

        ``dice`` is a fraction, ``hd95_mm`` in mm, both means over regions and then cases. Costs
        have the names and units of the tables' columns, such as ``tuned_m`` in millions. nan where
        there is no value.
        """
        rows = []
        for run in self.records:
            row = {name: getattr(run, name) for name in FACTS}
            row |= {"status": run.status.value, "reason": run.reason, "synthetic": run.synthetic}
            for name, cost in COSTS.items():
                row[name] = cost.read(run.cost) if run.cost is not None else None
            rows.append(row)
        frame = pd.DataFrame(rows, columns=[*FACTS, "status", "reason", "synthetic", *COSTS])
        frame[list(COSTS)] = frame[list(COSTS)].astype(float)
        for place, metric in enumerate(("dice", "hd95_mm")):
            means: pd.Series[float] = pd.Series(dtype=float)
            if not self.cases.empty:
                means = fold_means(self.cases, metric)[MEAN].droplevel(["method", "fold", "seed"])
            frame.insert(len(FACTS) + 1 + place, metric, frame["run_id"].map(means))
        return frame

    @cached_property
    @as_program()
    def cases(self) -> pd.DataFrame:
        """A row for each run, held-out case and region, with every score; ``method`` is the label.

        Dice and surface Dice are fractions, distances in mm, volumes in ml.
        """
        done = [run for run in self.records if run.status == Status.DONE and run.cases]
        return case_table(done) if done else pd.DataFrame()

    @as_program()
    def table(self, kind: str = "main", versus: str = "") -> pd.DataFrame:
        """Return a table of the command ``report``, of one of its kinds, with unrounded numbers.

        Several tables are put below each other, under their names. ``versus`` is the method that a
        comparison is made to. Raises: ValueError if there is nothing to show.
        """
        frames = {}
        for table in self._build(kind, versus):
            frame = pd.read_csv(io.StringIO(FORMATS["csv"](table)))
            frames[table.slug] = frame.set_index(frame.columns[0])
        return next(iter(frames.values())) if len(frames) == 1 else pd.concat(frames)

    @as_program()
    def text(self, format: str = "markdown", kind: str = "main", versus: str = "") -> str:
        """Return tables as ``markdown``, ``latex`` or ``csv``. Raises: as `table`."""
        if format not in FORMATS:
            known = ", ".join(FORMATS)
            raise ValueError(f"text: format must be one of {known}, got '{format}'")
        return "\n".join(map(FORMATS[format], self._build(kind, versus)))

    @as_program()
    def compare(self, reference: str) -> pd.DataFrame:
        """Return the paired difference of mean Dice of every method to a reference, with p-values.

        A row for each setting and method. ``difference`` with its 95 % interval (``low``, ``high``)
        is the method less the reference, a fraction of Dice. ``p_corrected`` is for the number of
        methods. The reference is a label such as ``full`` or ``lora[rank=4]``.

        Raises: ValueError if there is no such method, or too few cases.
        """
        from reports.analysis.statistics import compare_with

        frames = []
        for comparison in summarise(self._order(), ReportRequest()):
            frame = compare_with(comparison.scores, reference, comparison.runs)
            intervals = list(frame["difference"])
            frame["difference"] = [each.value for each in intervals]
            place = frame.columns.get_loc("difference")
            assert isinstance(place, int)
            frame.insert(place + 1, "low", [each.low for each in intervals])
            frame.insert(place + 2, "high", [each.high for each in intervals])
            frame.insert(0, "setting", str(comparison.setting))
            frames.append(frame)
        if not frames:
            raise ValueError(f"compare: must have runs that are done, got {self!r}")
        return pd.concat(frames, ignore_index=True)

    @as_program()
    def plot(self, kind: str = "parameters") -> Figure:
        """Return a picture of the first setting: mean Dice against a cost, or scores of the cases.

        ``kind`` is parameters, flops, memory or time (Dice against it), cases, ranks or learning
        (the curves of training). Raises: ValueError if there is nothing to draw.
        """
        import matplotlib as mpl

        from reports.figures.gallery import list_pictures
        from reports.figures.style import SETTINGS, assign_looks, fix_layout

        if kind not in PLOTS:
            raise ValueError(f"plot: unknown kind '{kind}'{suggest(kind, list(PLOTS))}")
        families = methods.families() | find_families(self.records)
        looks = assign_looks({(run.method, run.label) for run in self.records}, families)
        summaries = summarise(self._order(), ReportRequest())
        pictures, absent = list_pictures(summaries, (), lambda run, case: None, looks)
        slug = kind if kind in ("cases", "ranks", "learning") else f"dice-{kind}"
        for picture in pictures:
            if picture.slug.startswith(f"{slug}-"):
                with mpl.rc_context(SETTINGS):
                    figure = picture.draw()
                    fix_layout(figure)
                return figure
        why = f" ({absent[0]})" if absent else ""
        raise ValueError(f"plot: {kind} needs runs that are done, got {self!r}{why}")

    def _build(self, kind: str, versus: str) -> list[Table]:
        if kind not in (*KINDS, ALL):
            raise ValueError(f"table: unknown kind '{kind}'{suggest(kind, [*KINDS, ALL])}")
        request = ReportRequest(kind=kind, versus=versus)
        tables = build_tables(self._order(), request, per_dataset=False)
        if not tables:
            raise ValueError(f"table: {kind} must have runs that are done, got {self!r}")
        return tables

    def _order(self) -> list[RunResult]:
        """Return the runs in the order in which `run` lays them out."""
        known = {name: number for number, name in enumerate(methods.names())}

        def place(run: RunResult) -> tuple[object, ...]:
            number = known.get(run.method, len(known))
            return run.dataset, run.backbone, number, run.label, run.fold, run.seed

        return sorted(self.records, key=place)


@as_program()
def load(source: str | Path = "results") -> Results:
    """Return the results of a folder that runs were kept in (``out``), or of an MLflow store.

    Args:
        source: a folder, or an address such as ``sqlite:///mlflow.db`` or ``http://host:5000``.

    Raises: ValueError if there is no result, or one cannot be read.
    """
    if isinstance(source, str) and ":/" in source:
        return Results(tuple(_read_store(source)))
    folder = Path(source)
    runs = folder if (folder / RESULT_FILE).is_file() else folder / RUNS
    files = sorted([*runs.glob(RESULT_FILE), *runs.glob(f"*/{RESULT_FILE}")])
    found = [read_result(file.parent) for file in files]
    if not found:
        rule = f"must be a folder with {RUNS}/*/{RESULT_FILE}, or the address of an MLflow store"
        raise ValueError(f"load: {rule}, got {source}")
    return Results(tuple(each for each in found if each is not None))


def _read_store(uri: str) -> Sequence[RunResult]:
    from bench.tracking.connection import database_file
    from bench.tracking.store import open_store

    file = database_file(uri)
    if file is not None and not file.exists():
        raise ValueError(f"load: there is no MLflow store {file}")
    results = open_store(uri).load_results()
    if not results:
        raise ValueError(f"load: the MLflow store {uri} holds no result")
    return results
