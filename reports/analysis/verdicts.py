"""Which methods are tied for best, by score; each test is made when a table asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from reports.analysis.scopes import Scope
from reports.analysis.statistics import Verdict, find_ties
from reports.records.metrics import METRICS


@dataclass(frozen=True, eq=False)
class Verdicts(Mapping[str, Verdict]):
    """The verdicts of the scores that rank any method, by the key of the score."""

    scopes: Mapping[str, Scope]
    found: dict[str, Verdict] = field(default_factory=dict)  # the verdicts that were asked for

    @staticmethod
    def of(scopes: Mapping[str, Scope]) -> Verdicts:
        """Return the verdicts of some scores; a score that ranks no method has none."""
        return Verdicts({key: scope for key, scope in scopes.items() if scope.ranked})

    def __getitem__(self, key: str) -> Verdict:
        if key not in self.found:
            scope = self.scopes[key]
            largest_first = METRICS[key.partition("/")[0]].largest_first
            matrices = (scope.matrix(), scope.matrix_of_runs())
            self.found[key] = find_ties(*matrices, largest_first=largest_first)
        return self.found[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scopes)

    def __len__(self) -> int:
        return len(self.scopes)
