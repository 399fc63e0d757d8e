"""Captions of at most three lines, and a file of notes with every sentence once."""

from collections.abc import Sequence

from reports.formats.tex.layout import CAPTION_LINES, LEFT_OUT, Form, Sheet
from reports.formats.tex.signs import LONGEST_WORD, PIECE, escape_breakable
from reports.formats.tex.venues import Printing
from reports.formats.tex.widths import measure
from reports.tables.table import Table

NUMBER = "Table 88: "
FILLED_FRAC = 0.93  # of a line, as words are not broken


def write_caption(sheet: Sheet, how: Printing) -> str:
    """Return the sentences of a caption that fit into three lines, warnings before the others."""
    table = sheet.table
    turned = sheet.form is Form.TURNED
    width = how.venue.caption_width_pt(sheet.form is Form.COLUMN, turned)
    size = sheet.size_pt if sheet.form is Form.LONG else how.venue.caption_pt
    room = CAPTION_LINES * FILLED_FRAC * width - measure(NUMBER, size)
    warnings = list(table.warnings)
    if sheet.part:
        warnings.append(_shorten(sheet.part, room / CAPTION_LINES, size))
    if how.caption:
        return escape_breakable(" ".join([how.caption, *warnings]), PIECE)
    first, *others = table.brief or table.caption[:1]
    reserved = measure(" ".join(["", *warnings]), size)
    words = [_shorten(first, room - reserved, size), *warnings]
    for sentence in others:
        longer = [*words, sentence]
        if measure(" ".join(longer), size) <= room:
            words = longer
    return escape_breakable(" ".join(words), PIECE)


def _shorten(sentence: str, room_pt: float, size_pt: float) -> str:
    """Return a sentence, without its last parts where it is too long; the notes have all of it."""
    if measure(sentence, size_pt) <= room_pt:
        return sentence
    kept = sentence
    while kept and measure(f"{kept} …", size_pt) > room_pt:
        longest, _, last = kept.rpartition(" ")
        is_broken = len(last) > LONGEST_WORD
        kept = kept[:-1] if is_broken else longest
    place = max(kept.rfind(","), kept.rfind(";"))
    return f"{kept[:place] if place > 0 else kept.rstrip()} …"


def format_notes(tables: Sequence[tuple[Table, Sequence[str], Sequence[Sheet]]]) -> str:
    """Return the notes to tables as LaTeX: each sentence once, with the tables that it belongs to.

    Args:
        tables: each with the labels that it is printed under, and its sheets.
    """
    owners: dict[str, list[str]] = {}  # sentence -> labels of its tables
    for table, labels, sheets in tables:
        sentences = [*table.caption, *table.notes]
        for sheet in sheets:
            sentences += [remark for remark in sheet.remarks if LEFT_OUT in remark]
        for sentence in dict.fromkeys(sentences):
            owners.setdefault(sentence, []).extend(labels)
    groups: dict[tuple[str, ...], list[str]] = {}
    for sentence, names in owners.items():
        groups.setdefault(tuple(names), []).append(sentence)
    lines = ["% notes to the tables: every definition once; \\input it where there is room"]
    lines.append(r"\begingroup\raggedright\fontsize{8}{9.6}\selectfont")
    for owned, sentences in groups.items():
        numbers = ", ".join(rf"\ref{{{name}}}" for name in owned)
        noun = "Table" if len(owned) == 1 else "Tables"
        lines.append(rf"\noindent\textit{{{noun}~{numbers}:}}")
        lines += [f"{escape_breakable(sentence)}" for sentence in sentences]
        lines.append(r"\par\smallskip")
    return "\n".join([*lines, r"\endgroup", ""])


def make_label(sheet: Sheet, how: Printing, number: int) -> str:
    """Return the label of a sheet, the ``number``-th of its table, from 0 on."""
    if not how.label:
        return f"tab:{sheet.table.slug}"
    return how.label if number == 0 else f"{how.label}-{number + 1}"
