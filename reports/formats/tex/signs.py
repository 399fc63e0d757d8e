"""Any text as LaTeX that pdflatex compiles without further packages, in ASCII.

Greek letters, accents and the usual signs are set. Another sign is set by lualatex, if its font has
it; pdflatex prints its number, such as ``[U+4E2D]``. Nothing is a superscript, which would be
smaller than the table.
"""

import re
import unicodedata

from reports.records.text import one_line

HYPHENS = re.compile(r"-(?=-)")
ARGUMENT = re.compile(r"^[\[*]")
MINUS = re.compile(r"(?<![\w.\-])-(?=\d)")
LONGEST_WORD = 20  # letters; longer words may be broken
PIECE = 8  # letters of a long word that stay together, narrower than any column of words
DAGGER = r"{\textdagger}"
GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho "
GREEK += "varsigma sigma tau upsilon phi chi psi omega"
CAPITALS = {"Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi"}
LATIN_CAPITALS = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX", strict=True))  # look alike
ACCENTS = {  # combining mark -> command of LaTeX
    **{"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"'},
    **{"\u0304": "=", "\u0306": "u", "\u0307": ".", "\u030a": "r", "\u030b": "H"},
    **{"\u030c": "v", "\u0323": "d", "\u0327": "c", "\u0331": "b"},
}
LETTERS = {
    **{"ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}"},
    **{"ø": r"\o{}", "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "ȷ": r"\j{}"},
}
MATH = {
    **{"<": "<", ">": ">", "|": "|", "±": r"\pm", "·": r"\cdot", "×": r"\times", "÷": r"\div"},
    **{"≤": r"\le", "≥": r"\ge", "≠": r"\ne", "≈": r"\approx", "≡": r"\equiv", "∞": r"\infty"},
    **{"→": r"\to", "←": r"\leftarrow", "↑": r"\uparrow", "↓": r"\downarrow", "∈": r"\in"},
    **{"∆": r"\Delta", "∑": r"\sum", "√": r"\surd", "∂": r"\partial", "¬": r"\neg"},
    **{"★": r"\star", "☆": r"\star", "∘": r"\circ", "ϕ": r"\varphi", "ϵ": r"\varepsilon"},
}
CHECK = r"\ifdefined\checkmark\checkmark\else$\surd$\fi{}"  # of amssymb
WORDS = {
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"`": r"\textasciigrave{}", "†": DAGGER, "‡": r"{\textdaggerdbl}", "°": r"\textdegree{}"},
    **{"–": "--", "—": "---", "‘": "`", "’": "'", "“": "``", "”": "''", "…": r"\dots{}"},
    **{"„": ",,", "‚": ",", "\u00a0": "~"},
    **{"²": r"\texttwosuperior{}", "³": r"\textthreesuperior{}", "¹": r"\textonesuperior{}"},
    **{"§": r"\S{}", "¶": r"\P{}", "©": r"\textcopyright{}", "®": r"\textregistered{}"},
    **{"€": r"\texteuro{}", "£": r"\pounds{}", "•": r"\textbullet{}", "™": r"\texttrademark{}"},
    **{"\u2010": "-", "\u2011": "-", "\u2212": r"\textminus{}", "✓": CHECK, "✔": CHECK},
    **{"✗": r"$\times$", "✘": r"$\times$", "\u200b": "", "\u200d": "", "\ufe0f": ""},
}


def _tabulate() -> dict[str, str]:
    table = {sign: f"${command}$" for sign, command in MATH.items()}
    for number, name in enumerate(GREEK.split()):
        table[chr(0x3B1 + number)] = "o" if name == "omicron" else rf"$\{name}$"
        capital = "Omega" if name == "omega" else name.title()
        if capital in CAPITALS | {"Omega"}:
            table[chr(0x391 + number)] = rf"$\{capital}$"
    table |= LATIN_CAPITALS | LETTERS | WORDS
    return table | {special: f"\\{special}" for special in "&%$#_{}"}


TABLE = _tabulate()


def escape(text: str) -> str:
    """Return text on one line in which no letter has a meaning for LaTeX; ASCII.

    A bracket or a star at its beginning would be read as an argument of the command before it, and
    two hyphens as a dash. A hyphen before a number that stands alone is a minus sign.
    """
    parts = [MINUS.sub("\u2212", part) for part in HYPHENS.split(one_line(text))]
    escaped = ["".join(map(_escape_sign, part)) for part in parts]
    return ARGUMENT.sub(r"{\g<0>}", "-{}".join(escaped))


def escape_breakable(text: str, piece: int = LONGEST_WORD) -> str:
    """Return as `escape`; long words may be broken after every ``piece`` of so many letters."""
    words = []
    for word in one_line(text).split(" "):
        length = piece if len(word) > LONGEST_WORD else LONGEST_WORD
        pieces = [word[at : at + length] for at in range(0, len(word), length)]
        words.append(r"\hspace{0pt}".join(map(escape, pieces)))
    return " ".join(words)


def find_foreign(text: str) -> list[str]:
    """Return the signs of a text that pdflatex cannot set."""
    return [sign for sign in dict.fromkeys(one_line(text)) if _needs_lualatex(sign)]


def _needs_lualatex(sign: str) -> bool:
    return not sign.isascii() and sign not in TABLE and not _set_accented(sign)


def _escape_sign(sign: str) -> str:
    if sign in TABLE:
        return TABLE[sign]
    if sign.isascii():
        return sign
    accented = _set_accented(sign)
    if accented:
        return accented
    number = f"{ord(sign):04X}"
    return rf'\ifdefined\directlua\char"{number}\else{{}}[U+{number}]\fi{{}}'


def _set_accented(sign: str) -> str:
    """Return a letter with an accent; empty if the sign is none."""
    parts = unicodedata.normalize("NFD", sign)
    base, marks = parts[:1], parts[1:]
    if not (base.isascii() and base.isalpha() and marks in ACCENTS):
        return ""
    letter = {"i": r"\i", "j": r"\j"}.get(base, base)
    return rf"\{ACCENTS[marks]}{{{letter}}}"
