"""Scoring of a run's held-out cases, with a picture of the first case and slices of all."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.scoring.cases import Predict, score_cases
from bench.scoring.metrics import Scoring, leave_out_ignored
from datasets.base import DatasetInfo
from datasets.files import describe_os_error, new_file
from datasets.prepared.case import PreparedCase
from reports.figures.overlay import draw_overlay
from reports.records.run import CaseScore
from reports.records.slices import SLICES_FILE, CaseSlices, cut_slices, write_slices

OVERLAY_FILE = "overlay.png"

log = logging.getLogger(__name__)


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
    regions = [region.classes for region in scoring.info.regions]

    def keep_slices(done: int, prediction: np.ndarray) -> None:
        case = cases[done - 1]
        reference = leave_out_ignored(prediction, np.asarray(case.label()), scoring.info)[1]
        maps = case.image()[0], reference, prediction
        slices[case.id] = cut_slices(*maps, len(cases), regions)
        if done == 1:
            with _optional("overlay"):
                _save_overlay(folder / OVERLAY_FILE, case, prediction, scoring.info, title)
        on_case(done, len(cases))  # the time of a case has that of its pictures in it

    scores = score_cases(predict, cases, scoring, keep_slices)
    with _optional("slices"):
        write_slices(folder / SLICES_FILE, slices)
    return Scored(tuple(scores), time.perf_counter() - started)


def _save_overlay(
    target: Path, case: PreparedCase, prediction: np.ndarray, info: DatasetInfo, name: str
) -> None:
    reference = leave_out_ignored(prediction, np.asarray(case.label()), info)[1]
    depth = int((reference > 0).sum(axis=(1, 2)).argmax())  # the slice with most foreground
    image = np.asarray(case.image()[0, depth], dtype=np.float32)
    title = f"{name}: {case.id}, slice {depth}"
    figure = draw_overlay(image, reference[depth], prediction[depth], info.classes, title)
    with new_file(target) as unfinished:
        figure.savefig(unfinished, dpi=120)


@contextmanager
def _optional(what: str) -> Iterator[None]:
    """Let a run do without a picture that cannot be written."""
    try:
        yield
    except OSError as error:
        log.warning("%s: %s", what, describe_os_error(error))
