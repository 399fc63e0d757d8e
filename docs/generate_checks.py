"""Write docs/checks.md: which promise each method keeps on which backbone. It takes a while.

    python -m docs.generate_checks [--backbones tiny_vit,tiny_swin,vit_b16]

Exit code 1 if a promise is broken; then nothing is written.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from bench.cli.checking.promises import Outcomes, check_promises
from bench.grid.cells import parse_methods
from docs.articles import table
from methods.base import MissingRole

PAGE = Path(__file__).with_name("checks.md")
BACKBONES = "tiny_vit,tiny_swin,vit_b16"
HEAD = """# Checks

<!-- Written by `python -m docs.generate_checks`. -->

What `bench check all --backbone {backbones}` found on {date}, with default settings: the
promises that a method keeps, of these {n}: {promises}. [Methods](methods.md) has what each
method declares.
"""


def main() -> int:
    """Write the page; return the exit code."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", default=BACKBONES)
    backbones = parser.parse_args().backbones
    found: dict[str, Outcomes] = {}
    for label, outcomes in check_promises(parse_methods("all"), backbones):
        found[label] = outcomes
        sys.stdout.write(f"{label}\n")
        sys.stdout.flush()
    promises = list(next(iter(found.values())))
    is_broken = False
    rows = []
    for label, outcomes in found.items():
        cells = [describe(outcomes, name) for name in backbones.split(",")]
        is_broken |= any("broken" in cell for cell in cells)
        rows.append([f"`{label}`", *cells])
    if is_broken:
        sys.stdout.writelines(" ".join(row) + "\n" for row in rows)
        return 1
    date = datetime.now(UTC).date().isoformat()
    head = HEAD.format(
        backbones=backbones, date=date, n=len(promises), promises=", ".join(promises)
    )
    PAGE.write_text(
        head + "\n" + table(["method", *backbones.split(",")], rows) + "\n", encoding="utf-8"
    )
    return 0


def describe(outcomes: Outcomes, backbone: str) -> str:
    """Return how many promises are kept on a backbone, and why others are not asked."""
    answers = [row[backbone] for row in outcomes.values()]
    broken = [answer for answer in answers if isinstance(answer, str)]
    if broken:
        return f"broken: {broken[0]}"
    n_kept = sum(answer is None for answer in answers)
    skipped = Counter(str(answer) for answer in answers if isinstance(answer, MissingRole))
    reasons = [f"{count} skipped: {reason}" for reason, count in skipped.items()]
    return "; ".join([f"{n_kept} kept", *reasons])


if __name__ == "__main__":
    sys.exit(main())
