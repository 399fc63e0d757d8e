"""One long table behind every number: a row for each run, case and region.

It is always averaged in the same order: a case's scores over its seeds; then folds put their cases
together (each case is held out once). Statistics get one number for each case and method.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from math import inf

import numpy as np
import numpy.typing as npt
import pandas as pd

from reports.names import BUILT_IN_NAMES, Names, name_dataset
from reports.records.metrics import METRICS
from reports.records.run import SCORE_FIELDS, RunResult, Status, list_further
from reports.records.study import describe_budget

NO_BACKBONE = "none"  # of the run of a reference network
UNKNOWN_BUDGET = "tuned"  # of a record that names a study, but no budget
MEAN = "mean"  # stands in a region's place for the mean over the regions
TRAINING = ["method", "fold", "seed", "run_id"]  # the columns that name one training
OWN_DECODER = "own"  # as protocols name the backbone's own
SHA256 = "sha256:"  # begins the protocol's name of the decoder of an earlier run
DECODER_MODES = {"": "trained further", "frozen": "frozen", "peft": "with low-rank residuals"}


@dataclass(frozen=True)
class Setting:
    """The conditions that methods are compared under: one table, or one group of columns."""

    dataset: str
    backbone: str
    weights: str
    shots: int | None = None  # training cases of a k-shot protocol; None: all
    title: str = field(default="", compare=False)  # how tables name the data set
    tuned: str = ""  # the budget that found the methods' settings, in words; empty: not tuned
    decoder: str = ""  # by its name; empty: the backbone's own, as in records that do not say
    decoder_mode: str = ""  # frozen or peft; empty: all of it trains
    decoder_from: str = ""  # start of the SHA-256 of the decoder that it begins with; empty: random

    def __str__(self) -> str:
        return describe_setting(self, BUILT_IN_NAMES)


def describe_setting(setting: Setting, names: Names) -> str:
    """Return a setting in words."""
    heading = name_dataset(setting.dataset, setting.title, names)
    facts = [] if setting.backbone == NO_BACKBONE else [names.find(setting.weights)]
    facts += filter(None, [describe_decoder(setting, names)])
    if setting.shots is not None:
        facts.append(f"{setting.shots} training cases")
    if setting.tuned:
        facts.append(name_tuning(setting.tuned))
    if setting.backbone == NO_BACKBONE:
        return ", ".join([heading, "reference networks", *facts])
    return f"{heading} on {names.find(setting.backbone)} ({', '.join(facts)})"


def describe_decoder(setting: Setting, names: Names) -> str:
    """Return how headings call a decoder; empty for the backbone's own that trains from the start.

    The decoder of an earlier run has the start of its SHA-256 behind it.
    """
    words = [names.find(setting.decoder)] if setting.decoder else []
    if setting.decoder_from:
        words.append(f"{DECODER_MODES[setting.decoder_mode]} ({setting.decoder_from})")
    return f"decoder {', '.join(words)}" if words else ""


def name_tuning(tuned: str) -> str:
    """Return how names and headings call a setting's tuning."""
    return f"tuned {tuned}" if tuned != UNKNOWN_BUDGET else tuned


def setting_of(result: RunResult) -> Setting:
    """Return the setting of a run."""
    shots = result.protocol.get("data", {}).get("shots") or None
    tuned = describe_budget(result.protocol.get("tune", {}))
    if result.study and not tuned:
        tuned = UNKNOWN_BUDGET
    where = (result.dataset, result.backbone, result.weights)
    model = result.protocol.get("model") or {}
    decoder = model.get("decoder", OWN_DECODER)
    return Setting(
        *where,
        shots,
        result.dataset_title,
        tuned,
        decoder="" if decoder == OWN_DECODER else decoder,
        decoder_mode=model.get("decoder_mode", ""),
        decoder_from=model.get("decoder_from", "").removeprefix(SHA256)[:8],
    )


def group_by_setting(results: Iterable[RunResult]) -> dict[Setting, list[RunResult]]:
    """Return the runs of each setting, in the order in which settings first appear."""
    groups: dict[Setting, list[RunResult]] = {}
    for result in results:
        groups.setdefault(setting_of(result), []).append(result)
    return groups


def case_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """Return one row per run, case and region; metrics as stored, ``method`` is the full label.

    Raises: ValueError if a score is infinite or outside of its range.
    """
    runs = []
    for result in results:
        run = {"run_id": result.run_id, **asdict(setting_of(result))}
        run |= {"protocol_id": result.protocol_id, "synthetic": result.synthetic}
        run |= {"method": result.label, "fold": result.fold, "seed": result.seed}
        runs.append(run)
    scores = [score for result in results for score in result.cases]
    columns = {name: [getattr(score, name) for score in scores] for name in SCORE_FIELDS}
    columns |= {name: [score.score(name) for score in scores] for name in list_further()}
    run_of_score = np.repeat(np.arange(len(runs)), [len(result.cases) for result in results])
    table = pd.DataFrame(runs).iloc[run_of_score].reset_index(drop=True)
    table = table.join(pd.DataFrame(columns))
    for name, metric in METRICS.items():
        _check_range(table, name, metric.upper)
    return table


def _check_range(table: pd.DataFrame, metric: str, upper: float) -> None:
    values = table[metric]
    wrong = table[(values < 0) | (values > upper) | np.isinf(values)]
    if len(wrong):
        first = wrong.iloc[0]
        where = f"case {first['case']}, region {first['region']}, in run {first['run_id']}"
        rule = "a finite number >= 0" if upper == inf else f"between 0 and {upper:g}"
        got = f"must be {rule} or nan, got {first[metric]}"
        raise ValueError(f"report: {metric} of {where} {got} (repeat the run)")


@dataclass(frozen=True)
class WideScores:
    """One metric of every training and case; all frames are `TRAINING` and case x regions."""

    values: pd.DataFrame  # nan where undefined
    absent: pd.DataFrame  # whether the reference lacks the region
    predicted: pd.DataFrame  # whether the prediction has the region

    @property
    def cases(self) -> pd.Index[str]:
        return self.values.index.get_level_values("case")

    def find_left_out(self, methods: Iterable[str] | None = None) -> pd.DataFrame:
        """Return which regions `average_regions` leaves out of the mean of a training and case."""
        gaps = self.absent & self.values.isna()
        compared = gaps
        if methods is not None:
            compared = gaps.where(select_methods(gaps, methods), other=False)
        return gaps | (self.absent & compared.groupby(self.cases).transform("any"))

    def average_regions(self, methods: Iterable[str] | None = None) -> pd.Series[float]:
        """Return the mean over the regions of each training and case.

        It is nan where a region of the reference has no value, so that a miss shortens no mean. A
        region that the reference lacks counts if it has a value in all trainings of ``methods``
        (None: of all methods); if not, the case is averaged without it, for every method.
        """
        left_out = self.find_left_out(methods)
        counted = self.values.where(~left_out)
        complete = (counted.notna() | left_out).all(axis="columns")
        return counted.mean(axis="columns").where(complete)

    def find_faults(self) -> pd.DataFrame:
        """Return where a training takes a case out of the comparison by an error of its own.

        It has no value although the reference has the region and some method has a value in this
        case, so that the case can be measured. Or it has a false alarm where other trainings,
        which were right, have no value.
        """
        defined = self.values.notna()
        measurable = defined.any(axis="columns").groupby(self.cases).transform("any")
        misses = (~self.absent & ~defined).mul(measurable, axis="index")
        share = defined.groupby(self.cases).transform("mean")
        alarms = self.absent & self.predicted & (share > 0) & (share < 1)
        return misses | alarms


def select_methods(frame: pd.DataFrame, methods: Iterable[str]) -> pd.Series[bool]:
    """Return which rows are of these methods."""
    chosen = is_among(frame, "method", methods)
    return pd.Series(chosen, index=frame.index)


def is_among(
    rows: pd.DataFrame | pd.Series[float], level: str, names: Iterable[str]
) -> npt.NDArray[np.bool_]:
    """Return which rows have one of ``names`` in a level."""
    index = rows.index
    assert isinstance(index, pd.MultiIndex)
    known = index.levels[index.names.index(level)]
    return np.asarray(known.isin(list(names)))[number_level(rows, level)]


def number_level(rows: pd.DataFrame | pd.Series[float], level: str) -> npt.NDArray[np.int64]:
    """Return the number of each row's name among those of a level."""
    index = rows.index
    assert isinstance(index, pd.MultiIndex)
    return np.asarray(index.codes[index.names.index(level)], np.int64)


def spread_regions(table: pd.DataFrame, metrics: Collection[str]) -> dict[str, WideScores]:
    """Return metrics of a `case_table` with a column per region, in their first order."""
    rows = table.groupby([*TRAINING, "case", "region"], sort=False)
    means = rows[[*metrics, "n_reference_vox", "n_predicted_vox"]].mean()
    wide = {name: means[name].unstack("region") for name in means}
    regions = list(dict.fromkeys(table["region"]))
    absent = wide["n_reference_vox"][regions] == 0
    predicted = wide["n_predicted_vox"][regions] > 0
    return {name: WideScores(wide[name][regions], absent, predicted) for name in metrics}


def penalise_misses(table: pd.DataFrame, penalty_mm: float) -> pd.DataFrame:
    """Return a `case_table` in which each distance that a miss leaves undefined is the penalty.

    A miss is an empty prediction of a region that the reference has. The case must be measurable:
    its spacing is known, or some distance of it has a value.
    """
    changed = table.copy()
    misses = (table["n_reference_vox"] > 0) & (table["n_predicted_vox"] == 0)
    for name, metric in METRICS.items():
        if metric.upper != inf:
            continue
        known = table["nsd_tolerance_mm"].notna() | table[name].notna()
        measurable = known.groupby(table["case"]).transform("any")
        changed.loc[misses & measurable & table[name].isna(), name] = penalty_mm
    return changed


def mean_if_all(frame: pd.DataFrame, levels: Sequence[str]) -> pd.DataFrame:
    """Return the means of groups of rows; nan where any row of the group is."""
    groups = frame.groupby(level=list(levels), sort=False)
    return groups.mean().where(groups.count().eq(groups.size(), axis="index"))


def average_seeds(table: pd.DataFrame, metric: str = "dice") -> pd.DataFrame:
    """Return each case of a `case_table` averaged over its seeds: (method, case) x regions, `MEAN`.

    A score that a seed leaves undefined is nan. `MEAN` is that of `WideScores.average_regions`.
    """
    return mean_if_all(_spread_with_mean(table, metric), ["method", "case"])


def average_pair(
    first: pd.DataFrame, second: pd.DataFrame, metric: str = "dice"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two `case_table` averaged over their seeds, each (its cases x regions and `MEAN`).

    `MEAN` is over the same regions of a case in both, as `WideScores.average_regions`.
    """
    both = [first.assign(method="first"), second.assign(method="second")]
    averaged = average_seeds(pd.concat(both, ignore_index=True), metric)
    frames = [averaged.loc[[name]].droplevel("method") for name in ("first", "second")]
    return frames[0], frames[1]


def fold_means(table: pd.DataFrame, metric: str = "dice") -> pd.DataFrame:
    """Return the mean of each training over its cases: `TRAINING` x regions and `MEAN`.

    The mean is over the cases in which the training has a value.
    """
    return _spread_with_mean(table, metric).groupby(level=TRAINING, sort=False).mean()


def _spread_with_mean(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    wide = spread_regions(table, [metric])[metric]
    return wide.values.assign(**{MEAN: wide.average_regions()})


def to_matrix(averaged: pd.DataFrame, labels: Iterable[str], region: str = MEAN) -> pd.DataFrame:
    """Return (cases x methods) of the table of `average_seeds`, for those labels that it has."""
    known = set(averaged.index.unique("method"))
    shown = [label for label in labels if label in known]
    if not shown:
        return pd.DataFrame()
    return averaged[region].loc[shown].unstack("method")[shown].sort_index()


def score_matrix(
    results: Sequence[RunResult], metric: str = "dice", region: str = MEAN
) -> pd.DataFrame:
    """Return (cases x methods) of one setting, seeds averaged, folds put together.

    Only runs that are done count. A case without a defined score for a method is nan.

    Raises: ValueError as `case_table`; KeyError if no run has the region.
    """
    done = [result for result in results if result.status == Status.DONE]
    if not any(result.cases for result in done):
        return pd.DataFrame()
    labels = dict.fromkeys(result.label for result in done)
    return to_matrix(average_seeds(case_table(done), metric), labels, region)
