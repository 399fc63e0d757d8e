"""Any text becomes LaTeX in ASCII; what pdflatex cannot set is named."""

import re

import pytest

from reports.formats.tex.signs import LONGEST_WORD, escape, escape_breakable, find_foreign


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("β-LoRA [ours] 50 % & more_", r"$\beta$-LoRA [ours] 50 \% \& more\_"),
        ("[ours]", "{[}ours]"),
        ("a--b", "a-{}-b"),
        ("-0.9 [-1.4, +0.4]", r"\textminus{}0.9 [\textminus{}1.4, +0.4]"),
        ("ViT-5, 2-4", "ViT-5, 2-4"),
        ("Müller, Ångström, naïve", r"M\"{u}ller, \r{A}ngstr\"{o}m, na\"{\i}ve"),
        ("70.0 ± 1.0 †", r"70.0 $\pm$ 1.0 {\textdagger}"),
        ("Α Ω Δ", r"A $\Omega$ $\Delta$"),
        ("a\x1bb", r"a\textbackslash{}x1bb"),
    ],
)
def test_texts_are_escaped(text: str, latex: str) -> None:
    assert escape(text) == latex
    assert escape(text).isascii()


def test_a_sign_that_only_lualatex_sets_has_its_number_for_pdflatex() -> None:
    assert escape("中") == r'\ifdefined\directlua\char"4E2D\else{}[U+4E2D]\fi{}'
    assert find_foreign("LoRA 中 é β 🧠") == ["中", "🧠"]
    assert find_foreign("plain ± †") == []


def test_long_words_can_be_broken() -> None:
    broken = escape_breakable("x" * 100)
    pieces = broken.split(r"\hspace{0pt}")
    assert max(map(len, pieces)) <= LONGEST_WORD
    assert "".join(pieces) == "x" * 100


def test_nothing_is_a_superscript() -> None:
    """A superscript would be smaller than the smallest letters of a table."""
    every = "".join(map(chr, [*range(0x20, 0x600), *range(0x2000, 0x2700)]))
    assert not re.search(r"(?<!\\)\^", escape(every).replace(r"\^{", ""))
