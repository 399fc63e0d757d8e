"""Scoring the held-out cases of a run, with a picture of the first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.evaluation import Predict, score_cases
from bench.metrics import Scoring
from bench.results import CaseScore
from datasets.base import DatasetInfo
from datasets.preprocessing import PreparedCase
from reports.figures import draw_overlay

OVERLAY_FILE = "overlay.png"


@dataclass(frozen=True)
class Scored:
    """The scores of the held-out cases, and how long it took, reading and measuring included."""

    cases: tuple[CaseScore, ...]
    score_s: float


def score_held_out(
    predict: Predict,
    cases: Sequence[PreparedCase],
    scoring: Scoring,
    picture: Path,
    title: str,
    on_case: Callable[[int, int], None],
) -> Scored:
    """Return the scores; ``picture`` becomes that of the first case, and ``on_case`` hears how many of all are done."""
    started = time.perf_counter()

    def show(done: int, prediction: np.ndarray) -> None:
        on_case(done, len(cases))
        if done == 1:
            _save_overlay(picture, cases[0], prediction, scoring.info, title)

    scores = score_cases(predict, cases, scoring, show)
    return Scored(tuple(scores), time.perf_counter() - started)


def _save_overlay(target: Path, case: PreparedCase, prediction: np.ndarray, info: DatasetInfo, name: str) -> None:
    reference = np.asarray(case.label())
    depth = int((reference > 0).sum(axis=(1, 2)).argmax())  # the slice with most foreground
    image = np.asarray(case.image()[0, depth], dtype=np.float32)
    title = f"{name}: {case.id}, slice {depth}"
    draw_overlay(image, reference[depth], prediction[depth], info.classes, title).savefig(target, dpi=120)
