"""From pictures to the bytes of files, in several processes, while the rest of a report is made."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver

from reports.figures.gallery import Picture
from reports.figures.style import fix_layout, save_pdf, save_png, save_svg, style

MOST_PROCESSES = 8
PRELOADED = [__name__, *(f"matplotlib.backends.backend_{name}" for name in ("pdf", "agg", "svg"))]
SAVERS = {"pdf": save_pdf, "png": save_png, "svg": save_svg}


@contextmanager
def start_renderers() -> Iterator[Executor]:
    """Yield processes to which `render_one` can be given, one a core.

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
        pool.shutdown(cancel_futures=True)  # after an error nobody waits for the rest


def render_one(picture: Picture, formats: Sequence[str]) -> dict[str, bytes]:
    """Return one picture's files by format: ``pdf``, ``png``, ``svg``."""
    with style():
        figure = picture.draw()
        fix_layout(figure)
        return {name: SAVERS[name](figure) for name in formats}
