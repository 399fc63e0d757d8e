"""Group sentences of one cause, which differ in the case, the file and the figures alone."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w]|\.\d)")
FILE = re.compile(r"(?<!\S)/.*?\.nii(?:\.gz)?(?!\w)|(?<!\S)\S*/\S*", re.IGNORECASE)
MOST_RANGES = 3


@dataclass(frozen=True)
class Group:
    """Sentences of one cause, in the order in which they came."""

    cases: tuple[str, ...]  # each once; empty where none names a case
    sentences: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]  # of each figure that is not the same in all

    @property
    def range_text(self) -> str:
        """The ranges of the figures, in the order of the sentence; empty if none differs."""
        shown = [f"{low:g} to {high:g}" for low, high in self.ranges[:MOST_RANGES]]
        return "; ".join(shown)

    @property
    def others_text(self) -> str:
        """What is left of a group after its first sentence; empty if nothing is."""
        n_more = len(self.sentences) - 1
        if not n_more:
            return ""
        others = self.cases[1:]
        if others:
            cases = "1 other case" if len(others) == 1 else f"{len(others)} other cases"
            text = f"the same in {cases}: {list_first(others)}"
        else:
            text = f"the same of {n_more} other file{'s' if n_more > 1 else ''}"
        return f"{text}; figures from {self.range_text}" if self.ranges else text


def list_first(names: Sequence[str]) -> str:
    """Return the first three names, and how many more there are."""
    n_more = len(names) - 3
    more = f" and {n_more} more" if n_more > 0 else ""
    return ", ".join(names[:3]) + more


def group_sentences(items: Iterable[tuple[str, str]]) -> list[Group]:
    """Return the groups of pairs (case or "", sentence), in the order of their first ones."""
    found: dict[str, list[tuple[str, str, list[float]]]] = {}
    for case, sentence in items:
        cause, figures = _split(case, sentence)
        found.setdefault(cause, []).append((case, sentence, figures))
    groups = []
    for members in found.values():
        cases = dict.fromkeys(case for case, _, _ in members if case)
        sentences = tuple(sentence for _, sentence, _ in members)
        ranges = _find_ranges([figures for _, _, figures in members])
        groups.append(Group(tuple(cases), sentences, ranges))
    return groups


def _split(case: str, sentence: str) -> tuple[str, list[float]]:
    """Return the sentence without its case, files and figures, and the figures."""
    text = FILE.sub("FILE", sentence)
    if case:
        text = text.replace(case, "CASE")
    return NUMBER.sub("#", text), [float(number) for number in NUMBER.findall(text)]


def _find_ranges(rows: Sequence[list[float]]) -> tuple[tuple[float, float], ...]:
    ranges = []
    for column in zip(*rows, strict=False):  # a sentence may hold the sign for a figure itself
        if min(column) != max(column):
            ranges.append((min(column), max(column)))
    return tuple(ranges)
