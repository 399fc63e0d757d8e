"""From pictures to the bytes of files, in several processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver

from reports.figures.gallery import Picture
from reports.figures.style import fix_layout, save_figure, style

MOST_PROCESSES = 8
PRELOADED = [
    __name__,
    "matplotlib.backends.backend_pdf",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
]


@contextmanager
def start_renderers() -> Iterator[Executor]:
    """Yield processes for `render_one`, one a core.

    They fork from a server that starts at once and imports what drawing needs while this process
    reads the store.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()
    pool = ProcessPoolExecutor(min(os.cpu_count() or 1, MOST_PROCESSES), mp_context=context)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # after an error the rest is not drawn


def render_one(picture: Picture, formats: Sequence[str]) -> dict[str, bytes]:
    """Return one picture's files by format: ``pdf``, ``png``, ``svg``."""
    with style():
        figure = picture.draw()
        fix_layout(figure)
        return {name: save_figure(figure, name) for name in formats}
