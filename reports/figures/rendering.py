"""From pictures to the bytes of files, in several processes."""

import gc
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path

import matplotlib as mpl

from datasets.processes import follow_parent
from reports.figures.fonts import add_font, write_font
from reports.figures.picture import Picture
from reports.figures.style import SETTINGS, fix_layout, save_figure

MOST_PROCESSES = 8
PATIENT = (50_000, 20, 100)  # thresholds of the search for garbage; a picture leaves little
BACKENDS = [f"matplotlib.backends.backend_{name}" for name in ("pdf", "agg", "svg")]


@contextmanager
def start_renderers() -> Iterator[Executor]:
    """Yield processes for `render_one`; their server imports what drawing needs meanwhile."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["datasets.fork_server", __name__, *BACKENDS])
    forkserver.ensure_running()
    workers = min(os.cpu_count() or 1, MOST_PROCESSES)
    with tempfile.TemporaryDirectory() as scratch:
        font = write_font(Path(scratch))
        pool = ProcessPoolExecutor(workers, context, _start_renderer, (font,))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)  # after an error the rest is not drawn


def _start_renderer(font: Path) -> None:
    follow_parent()
    add_font(font)
    gc.set_threshold(*PATIENT)


def render_one(picture: Picture, formats: Sequence[str]) -> dict[str, bytes]:
    """Return one picture's files by format: ``pdf``, ``png``, ``svg``."""
    with mpl.rc_context(SETTINGS):
        figure = picture.draw()
        fix_layout(figure)
        return {name: save_figure(figure, name) for name in formats}
