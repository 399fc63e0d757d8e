"""The metrics of a case and region; tables, MLflow, page, `bench score` and schema loop over them.

A new metric is a record in `METRICS`, and a line in `bench.scoring.metrics.MEASURES` to compute it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, nan


@dataclass(frozen=True)
class EmptyScores:
    """The values of a metric where a mask is empty; nan leaves the case out of the mean."""

    both: float = nan
    miss: float = nan  # only the prediction is empty
    alarm: float = nan  # only the reference is empty


@dataclass(frozen=True)
class Metric:
    """A metric of a case and region; a value is finite and not negative, or nan if undefined."""

    name: str  # in result.json, in MLflow and in the keys of columns, such as "hd95_mm"
    title: str  # as printed, such as "HD95"
    unit: str  # of the printed number, such as "mm" or "%"
    largest_first: bool  # whether the largest value is the best
    upper: float = inf  # the largest possible value
    factor: float = 1.0  # the printed number is ``factor`` times the stored one
    digits: int = 1  # of the printed number
    stored_digits: int = 2  # of the stored number, which `bench score` shows
    needs_spacing: bool = False  # undefined where the spacing of a case is not known
    # Columns in the main and the ablation table: "regions" (one each, with spreads, and their
    # mean), "mean", or "" for none.
    columns: str = "mean"
    definition: str = ""  # for the captions of tables that show it
    variants: Mapping[str, str] = field(default_factory=dict)  # definitions by ``eval.hd95``
    # By the name of the policy for empty masks; a policy that is not named leaves all undefined.
    empty: Mapping[str, EmptyScores] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        return f"{self.title} ({self.unit})"

    @property
    def stored_heading(self) -> str:
        """The heading of the stored number; fractions have no unit."""
        return f"{self.title} {self.unit}" if self.factor == 1 else self.title

    def score_empty(self, policy: str, n_reference_vox: int, n_predicted_vox: int) -> float:
        """Return the value under a policy; one mask at least is empty."""
        scores = self.empty.get(policy, EmptyScores())
        if n_reference_vox:
            return scores.miss
        return scores.alarm if n_predicted_vox else scores.both


AGREE_OR_MISS = EmptyScores(both=1.0, miss=0.0, alarm=0.0)
# No policy but that of Med-Tuning defines one overlap metric and leaves the other undefined.
OVERLAP_EMPTY = dict.fromkeys(("brats", "brats2023", "kits", "lits"), AGREE_OR_MISS) | {
    "nnunet": EmptyScores(miss=0.0, alarm=0.0),
    "monai": EmptyScores(miss=0.0),  # its defaults: a false alarm does not count
}

METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            name="dice",
            title="Dice",
            unit="%",
            largest_first=True,
            upper=1.0,
            factor=100.0,
            stored_digits=3,
            columns="regions",
            empty=OVERLAP_EMPTY | {"medtuning": AGREE_OR_MISS},
        ),
        Metric(
            name="hd95_mm",
            title="HD95",
            unit="mm",
            largest_first=False,
            needs_spacing=True,
            definition="the larger of the two directed 95th percentiles",
            variants={
                "max": "the larger of the two directed 95th percentiles",
                "pooled": "the 95th percentile of the distances of both directions together",
            },
            # Up to 2022 a miss costs the diagonal of the challenge's 240 x 240 x 155 mm volumes.
            # KiTS and LiTS rank no distance, and no penalty fits their volumes of all sizes.
            empty={
                "brats": EmptyScores(both=0.0, miss=373.12866, alarm=373.12866),
                "brats2023": EmptyScores(both=0.0, miss=374.0, alarm=374.0),
            },
        ),
        Metric(
            name="nsd",
            title="NSD",
            unit="%",
            largest_first=True,
            upper=1.0,
            factor=100.0,
            stored_digits=3,
            needs_spacing=True,
            columns="",
            empty=OVERLAP_EMPTY,
        ),
    )
}
