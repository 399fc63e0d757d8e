"""How much a command tells while it works."""

from dataclasses import dataclass
from math import inf

from bench.cli.options import flag
from bench.specs.protocol import SpecError

MINUTE_S = 60.0
VERBOSE_S = 5.0


@dataclass(frozen=True)
class OutputRequest:
    """How much to tell, as it was typed."""

    verbose: bool = flag("A line for each run every 5 s, also on a terminal.")
    quiet: bool = flag("No bars and no lines but of failures, warnings and the outcome.")

    def check(self) -> None:
        """Raise SpecError if the options do not fit together."""
        if self.verbose and self.quiet:
            raise SpecError("--verbose: excludes --quiet, got both")

    def interval_s(self, *, is_terminal: bool) -> float:
        """Return the least time between two lines of a run; infinite: there are none."""
        if self.verbose:
            return VERBOSE_S
        return inf if self.quiet or is_terminal else MINUTE_S
