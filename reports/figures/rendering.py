"""From pictures to the bytes of files, in several processes.

Each PDF embeds the part of the font that it needs. fontTools then also cuts the tables by which
text is laid out, which no reader of a PDF uses, and that takes more than half the time of a file.
So PDF files use a copy of the font without these. The spaces between pairs of letters are in a
table of their own, which stays.
"""

import gc
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, findfont, fontManager

from datasets.processes import follow_parent
from reports.figures.picture import Picture
from reports.figures.style import SETTINGS, fix_layout, save_figure

MOST_PROCESSES = 8
PATIENT = (50_000, 20, 100)  # thresholds of the search for garbage; a picture leaves little
BACKENDS = [f"matplotlib.backends.backend_{name}" for name in ("pdf", "agg", "svg")]

ORIGINAL, COPY = "DejaVu Sans", "DejaVu Sans for PDF"
LAYOUT_TABLES = ("GSUB", "GPOS", "GDEF", "MATH", "FFTM")
NAMES = {1: COPY, 2: "Regular", 4: COPY, 16: COPY, 17: "Regular"}  # by their number in a font


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
    fontManager.addfont(font)
    gc.set_threshold(*PATIENT)


def render_one(picture: Picture, formats: Sequence[str]) -> dict[str, bytes]:
    """Return one picture's files by format: ``pdf``, ``png``, ``svg``."""
    with mpl.rc_context(SETTINGS):
        figure = picture.draw()
        fix_layout(figure)
        files = {}
        for name in formats:
            with mpl.rc_context(choose_fonts(name)):
                files[name] = save_figure(figure, name)
        return files


def write_font(folder: Path) -> Path:
    """Write the copy into ``folder``, for every process that draws."""
    from fontTools.ttLib import TTFont  # not needed by what only plans pictures

    file = findfont(FontProperties(family=[ORIGINAL]))
    with TTFont(file, recalcTimestamp=False) as font:  # equal pictures give equal files
        for table in LAYOUT_TABLES:
            if table in font:
                del font[table]
        for record in font["name"].names:
            record.string = NAMES.get(record.nameID, record.toUnicode())
        copy = folder / "font.ttf"
        font.save(copy)
    return copy


def choose_fonts(file_format: str) -> dict[Any, list[str]]:
    """Return the settings by which a file's text uses the copy, where it is known."""
    families = list(mpl.rcParams["font.sans-serif"])
    if file_format == "pdf" and families[0] == ORIGINAL:  # else the user prefers another
        families.insert(0, COPY)
    return {"font.sans-serif": families}
