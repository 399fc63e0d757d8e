"""A copy of Matplotlib's font for PDF files: without the tables by which text is laid out.

Each PDF embeds the part of the font that it needs. fontTools then also cuts these tables, which no
reader of a PDF uses, and that takes more than half the time of a file. The spaces between pairs of
letters are in a table of their own, which stays.
"""

from pathlib import Path

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, findfont, fontManager

ORIGINAL, COPY = "DejaVu Sans", "DejaVu Sans for PDF"
LAYOUT_TABLES = ("GSUB", "GPOS", "GDEF", "MATH", "FFTM")
NAMES = {1: COPY, 2: "Regular", 4: COPY, 16: COPY, 17: "Regular"}  # by their number in a font


def write_font(folder: Path) -> Path:
    """Write the copy into ``folder``, for `add_font` of every process that draws."""
    from fontTools.ttLib import TTFont  # not needed by what only plans pictures

    with TTFont(findfont(FontProperties(family=[ORIGINAL]))) as font:
        for table in LAYOUT_TABLES:
            if table in font:
                del font[table]
        for record in font["name"].names:
            record.string = NAMES.get(record.nameID, record.toUnicode())
        file = folder / "font.ttf"
        font.save(file)
    return file


def add_font(file: Path) -> None:
    """Make the copy known to this process."""
    fontManager.addfont(file)


def choose_fonts(file_format: str) -> dict[str, list[str]]:
    """Return the settings by which a file's text uses the copy, where it is known."""
    families = list(mpl.rcParams["font.sans-serif"])
    if file_format == "pdf" and families[0] == ORIGINAL:  # else the user prefers another
        families.insert(0, COPY)
    return {"font.sans-serif": families}
