"""From pictures to the bytes of files, in as many processes as there are cores where it pays."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from reports.gallery import Picture
from reports.style import fix_layout, save_pdf, save_png, save_svg, style

ENOUGH = 8  # pictures for which it pays to start processes
SAVERS = {"pdf": save_pdf, "png": save_png, "svg": save_svg}


def render(pictures: Sequence[Picture], formats: Sequence[str]) -> list[dict[str, bytes]]:
    """Return, picture by picture, its files by format: ``pdf``, ``png``, ``svg``."""
    workers = min(os.cpu_count() or 1, len(pictures) // (ENOUGH // 2))
    if len(pictures) < ENOUGH or workers < 2:
        return [render_one(picture, formats) for picture in pictures]
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        return list(pool.map(render_one, pictures, [formats] * len(pictures), chunksize=2))


def render_one(picture: Picture, formats: Sequence[str]) -> dict[str, bytes]:
    """Return one picture's files by format."""
    with style():
        figure = picture.draw()
        fix_layout(figure)
        return {name: SAVERS[name](figure) for name in formats}
