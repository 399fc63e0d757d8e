"""The copy of the font for PDF files."""

from pathlib import Path

import matplotlib as mpl
from fontTools.ttLib import TTFont
from matplotlib.font_manager import FontProperties, findfont

from reports.figures.rendering import COPY, LAYOUT_TABLES, ORIGINAL, choose_fonts, write_font


def test_the_copy_has_all_letters_and_their_spaces_but_no_tables_for_layout(tmp_path: Path) -> None:
    original = TTFont(findfont(FontProperties(family=[ORIGINAL])))
    copy = TTFont(write_font(tmp_path))
    assert set(original.keys()) & set(LAYOUT_TABLES)
    assert not set(copy.keys()) & set(LAYOUT_TABLES)
    assert copy["name"].getBestFamilyName() == COPY
    assert copy["head"].modified == original["head"].modified  # equal pictures give equal files
    assert copy.getGlyphOrder() == original.getGlyphOrder()
    assert copy["hmtx"].metrics == original["hmtx"].metrics
    assert copy["kern"].kernTables[0].kernTable == original["kern"].kernTables[0].kernTable


def test_only_pdf_files_use_the_copy_and_only_in_the_place_of_the_original() -> None:
    assert choose_fonts("pdf")["font.sans-serif"][:2] == [COPY, ORIGINAL]
    assert choose_fonts("png")["font.sans-serif"][0] == ORIGINAL
    with mpl.rc_context({"font.sans-serif": ["Arial", ORIGINAL]}):
        assert choose_fonts("pdf")["font.sans-serif"] == ["Arial", ORIGINAL]
