"""Tables as LaTeX prints them: compiled with their notes, measured in the log and in the PDF."""

import math
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pypdf import PdfReader

from reports.formats.latex import format_all
from reports.formats.tex.venues import VENUES, Printing
from reports.tables.table import Table

PACKAGES = r"\usepackage{booktabs,siunitx,graphicx,rotating,longtable,amssymb}"
LEAST_PT = 6.0
MOST_LINES = 3  # of a caption
DOCUMENTS = {
    **{venue.document: venue.name for venue in VENUES.values()},
    r"\documentclass[twocolumn]{article}": "article",
    r"\documentclass[5p]{elsarticle}": "elsevier",
}
# Writes three heights into the log: of a caption, and of captions of two and of three lines.
CAPTION = r"""
\makeatletter
\let\benchmake\@makecaption
\newbox\benchbox
\def\benchfull{x\nobreak\hskip2\hsize minus2\hsize\break}
\def\benchplain#1#2{\parindent0pt #1: #2\endgraf}
\def\benchmeasure#1#2{\begingroup\hfuzz\maxdimen\let\label\@gobble
  \setbox\benchbox\vbox{\benchmake{#1}{#2}}%
  \xdef\benchheights{\benchheights\the\dimexpr\ht\benchbox+\dp\benchbox\relax;}\endgroup}
\long\def\benchcount#1#2{\gdef\benchheights{}\benchmeasure{#1}{#2}%
  \benchmeasure{#1}{\benchfull x}\benchmeasure{#1}{\benchfull\benchfull x}%
  \message{CAPTION;\benchheights}}
\long\def\@makecaption#1#2{\benchcount{#1}{#2}\benchmake{#1}{#2}}
\def\LT@makecaption#1#2#3{\LT@mcol\LT@cols c{\hbox to\z@{\hss\parbox[t]\LTcapwidth{%
  \let\benchmake\benchplain\benchcount{#2}{#3}#1{#2: }#3\endgraf\vskip\baselineskip}\hss}}}
\makeatother
"""
HEIGHTS = re.compile(r"CAPTION;\s*([\d.]+)pt;\s*([\d.]+)pt;\s*([\d.]+)pt;")


def compile_tex(folder: Path, text: str, program: str = "pdflatex") -> str:
    """Compile twice, so that labels are resolved, and return the log."""
    (folder / "paper.tex").write_text(text)
    for _ in range(2):
        command = [program, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
        done = subprocess.run(command, cwd=folder, capture_output=True, errors="replace")
        assert done.returncode == 0, done.stdout[-2000:]
    return (folder / "paper.log").read_text(errors="replace")


def print_tables(folder: Path, document: str, tables: Sequence[Table], before: str = "") -> str:
    """Compile tables and their notes, check what is printed, and return the LaTeX.

    Nothing is too wide or too high, no letter is too small, no caption too long, and every label is
    found.
    """
    text, notes, _ = format_all(tables, Printing(VENUES[DOCUMENTS[document]]))
    (folder / "tables.tex").write_text(text)
    (folder / "notes.tex").write_text(notes)
    body = rf"{before}\input{{tables.tex}}\clearpage\input{{notes.tex}}"
    start = f"{document}\n{PACKAGES}\n{CAPTION}"
    log = compile_tex(folder, f"{start}\\begin{{document}}\n{body}\n\\end{{document}}\n")
    for trouble in ("Overfull", "Float too large", "LaTeX Warning: Reference"):
        assert trouble not in log
    lines = count_caption_lines(log)
    assert len(lines) >= text.count(r"\caption{")
    assert max(lines) <= MOST_LINES
    assert find_smallest_pt(folder / "paper.pdf") >= LEAST_PT
    return text


def count_caption_lines(log: str) -> list[int]:
    """Return how many lines each caption has; their last line may be deeper than that of others."""
    counts = []
    for found in HEIGHTS.findall(log):
        height, two, three = map(float, found)
        counts.append(2 + math.floor((height - two) / (three - two) + 0.05))
    return counts


def find_smallest_pt(file: Path) -> float:
    """Return the size of the smallest letters of a PDF, as scaled on the page."""
    sizes: list[float] = []

    def visit(text: str, cm: list[float], tm: list[float], font: object, size: float) -> None:
        if text.strip():
            scale = abs((tm[0] * tm[3] - tm[1] * tm[2]) * (cm[0] * cm[3] - cm[1] * cm[2]))
            sizes.append(size * math.sqrt(scale))

    for page in PdfReader(file).pages:
        page.extract_text(visitor_text=visit)
    assert len(sizes) > 10
    return min(sizes)
