"""How wide text is in print: that of Computer Modern, which is wider than Times.

The widths of its letters are those of ``cmr10`` (Knuth, Computer Modern Typefaces), in 1/1000 of
the size. They decide the layout; LaTeX itself sets the exact widths.
"""

import re
import unicodedata
from collections.abc import Iterator

from reports.formats.tex.signs import LONGEST_WORD

WIDTHS = {
    277: "!',.:;[]`il",
    305: "fj",
    333: "-",
    388: "()t",
    394: "rs",
    444: "cez",
    500: '"$*/0123456789\\^ago~?<>{}',
    527: "kqvxy_",
    555: "Sbdhnpu",
    611: "IJLZ",
    680: "EFP",
    736: "BCRTw",
    777: "&+=@ADHKNOQUVXY±−",
    833: "#%Gm",
    1027: "MW",
}
WORD = re.compile(r"\([^)]*\)|\[[^\]]*\]|\S+")  # what is in brackets is not broken
SPACE, OTHER = 333, 1000
MARKS = "✓✔✗✘"
BY_LETTER = {letter: width for width, letters in WIDTHS.items() for letter in letters}
BOLD = 1.16  # how much wider than regular letters
LEAD = 1.2  # from line to line, of the size
FOREIGN = 4500  # of a sign that is printed as its number


def measure(text: str, size_pt: float, *, bold: bool = False) -> float:
    """Return the width of a line of text in pt."""
    total = sum(map(_measure_sign, text)) * size_pt / 1000
    return total * BOLD if bold else total


def _measure_sign(sign: str) -> int:
    if sign == " ":
        return SPACE
    base = unicodedata.normalize("NFD", sign)[0]
    if base in BY_LETTER:
        return BY_LETTER[base]
    is_common = ord(base) < 0x400 or 0x2000 <= ord(base) < 0x2300 or base in MARKS
    return OTHER if is_common else FOREIGN


def wrap(text: str, widest_pt: float, size_pt: float) -> list[str]:
    """Return text in lines, broken at spaces, that are at most so wide where words allow it.

    A word of more than `LONGEST_WORD` letters is broken as well.
    """
    lines: list[str] = []
    for word in _list_words(text):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure(longer, size_pt) <= widest_pt:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines or [""]


def _list_words(text: str) -> Iterator[str]:
    """Yield the words of a text, long ones in pieces."""
    for word in WORD.findall(text):
        whole = word.split() if len(word) > LONGEST_WORD else [word]  # of what is in brackets
        for part in whole:
            for start in range(0, len(part), LONGEST_WORD):
                yield part[start : start + LONGEST_WORD]
