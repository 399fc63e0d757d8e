"""Scoring of a run's held-out cases, with a picture of the first case and slices of all."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.scoring.cases import Predict, score_cases
from bench.scoring.metrics import Scoring
from datasets.base import DatasetInfo
from datasets.prepared.case import PreparedCase
from reports.figures.overlay import draw_overlay
from reports.records.run import CaseScore
from reports.records.slices import SLICES_FILE, CaseSlices, cut_slices, write_slices

OVERLAY_FILE = "overlay.png"


@dataclass(frozen=True)
class Scored:
    """The scores of the held-out cases."""

    cases: tuple[CaseScore, ...]
    score_s: float  # reading, predicting and measuring


def score_held_out(
    predict: Predict,
    cases: Sequence[PreparedCase],
    scoring: Scoring,
    folder: Path,
    title: str,
    on_case: Callable[[int, int], None],
) -> Scored:
    """Score the cases; call ``on_case(n_done, n_cases)`` after each.

    Writes a picture of the first case, headed ``title``, and slices of all into ``folder``.
    """
    started = time.perf_counter()
    slices: dict[str, CaseSlices] = {}

    def keep_slices(done: int, prediction: np.ndarray) -> None:
        on_case(done, len(cases))
        case = cases[done - 1]
        reference = np.asarray(case.label())
        slices[case.id] = cut_slices(case.image()[0], reference, prediction, len(cases))
        if done == 1:
            _save_overlay(folder / OVERLAY_FILE, case, prediction, scoring.info, title)

    scores = score_cases(predict, cases, scoring, keep_slices)
    write_slices(folder / SLICES_FILE, slices)
    return Scored(tuple(scores), time.perf_counter() - started)


def _save_overlay(
    target: Path, case: PreparedCase, prediction: np.ndarray, info: DatasetInfo, name: str
) -> None:
    reference = np.asarray(case.label())
    depth = int((reference > 0).sum(axis=(1, 2)).argmax())  # the slice with most foreground
    image = np.asarray(case.image()[0, depth], dtype=np.float32)
    title = f"{name}: {case.id}, slice {depth}"
    figure = draw_overlay(image, reference[depth], prediction[depth], info.classes, title)
    figure.savefig(target, dpi=120)
