"""What the commands below `data` do."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import datasets
from bench.cli.terminal import case_progress
from bench.grid.cells import parse_names
from bench.grid.sources import check_exclude
from datasets.base import Dataset, NoCasesError
from datasets.splits.file import write_split_file
from datasets.volumes.checking import Findings, check_dataset

EXIT_DONE, EXIT_PROBLEMS = 0, 1
MIB = 1 << 20


def demo_command(
    name: str | None,
    layout: str | None,
    out: Path,
    cases: int,
    seed: int,
    *,
    full_size: bool,
    console: Console,
) -> None:
    """Write phantoms into a folder, in the layout of a release.

    Raises: ValueError for a name that does not exist, or a layout that is not one of the data set.
    """
    from datasets.phantoms.layouts import get_layout
    from datasets.phantoms.write import DEMO_SHAPE, FULL_SHAPE, write_phantoms

    name = name or (get_layout(layout).dataset if layout else "brats")
    shape = FULL_SHAPE if full_size else DEMO_SHAPE
    with case_progress(console) as on_case:
        write_phantoms(
            name,
            out,
            cases,
            seed=seed,
            shape=shape,
            on_case=lambda done, total: on_case("writing", done, total),
            layout=layout,
        )
    console.print(
        f"wrote {cases} synthetic cases; use them with --datasets {name} --data-root {out}",
        soft_wrap=True,
    )


def check_command(
    root: Path | None, names: str | None, jobs: int, *, as_json: bool, console: Console
) -> int:
    """Check all data sets below a root; return the exit code.

    Raises: ValueError for an unknown data set; DataError if the root holds none, or mixes releases.
    """
    found = _open_all(root, names)
    checks = []
    with case_progress(Console(stderr=True)) as on_case:
        for dataset in found:
            checks.append(
                check_dataset(dataset, jobs, partial(on_case, f"reading {dataset.info.title}"))
            )
    if as_json:
        console.file.write(json.dumps([_record(check) for check in checks], indent=1) + "\n")
    else:
        for check in checks:
            _print_check(check, console)
    return EXIT_DONE if all(check.passed for check in checks) else EXIT_PROBLEMS


def splits_command(
    root: Path | None, name: str, n_folds: int, exclude: str, out: Path, console: Console
) -> None:
    """Write the folds of a data set's labelled cases to a file.

    Raises: ValueError unless one data set is named that has the preset; DataError if cases are bad
    or too few, or the
        file exists.
    """
    opened = _open_all(root, name)
    if len(opened) != 1:
        raise ValueError(f"--datasets: must be one data set, got {name}")
    check_exclude(exclude, opened)
    cases = opened[0].find_labelled(exclude)
    write_split_file(out, cases, n_folds)
    console.print(f"wrote {n_folds} folds of {len(cases)} cases to {out}", soft_wrap=True)


def _open_all(root: Path | None, names: str | None) -> list[Dataset]:
    listed = parse_names(names, datasets.names(), "--datasets") if names else []
    if root is None and not (listed and all(map(datasets.is_datalist, listed))):
        raise ValueError("data: give --data-root, or datalists alone as --datasets")
    if root is not None and not listed:
        return _recognise(root)
    return [
        datasets.build(name, Path(name) if datasets.is_datalist(name) else root or Path())
        for name in listed
    ]


def _recognise(root: Path) -> list[Dataset]:
    found: list[Dataset] = []
    nothing: list[str] = []
    for name in datasets.names():
        try:
            found.append(datasets.build(name, root))
        except NoCasesError as error:
            nothing.append(str(error))
    if not found:
        raise NoCasesError("; ".join(nothing))
    return found


def _print_check(check: Findings, console: Console) -> None:
    found = check.discovery
    n_unlabelled = len(found.unlabelled)
    n_cases = len(found.cases)
    console.print(
        f"[bold]{escape(found.title)}[/] in {escape(str(check.root))}: {n_cases} cases, {n_cases - n_unlabelled} with "
        f"a label, {check.n_bytes / MIB:,.1f} MiB read{' (SYNTHETIC phantoms)' if check.synthetic else ''}",
        soft_wrap=True,
    )
    if found.runner_up:
        console.print(
            f"runner-up by the names of the files: {escape(found.runner_up)}", soft_wrap=True
        )
    if n_unlabelled:
        names = ", ".join(case.id for case in found.unlabelled)
        console.print(f"without a label, for prediction alone: {escape(names)}", soft_wrap=True)
    if not check.problems:
        console.print("[green]nothing is wrong[/]")
        return
    table = Table(title=_count(check), show_lines=True)
    table.add_column("case", overflow="fold")
    table.add_column("what")
    table.add_column("sentence", overflow="fold")
    for problem in check.problems:
        kind = "[yellow]warning[/]" if problem.is_warning else "[red]error[/]"
        table.add_row(escape(problem.case), kind, escape(problem.message))
    console.print(table)


def _count(check: Findings) -> str:
    n_errors = sum(not problem.is_warning for problem in check.problems)
    return f"{n_errors} errors, {len(check.problems) - n_errors} warnings"


def _record(check: Findings) -> dict[str, Any]:
    found = check.discovery
    return {
        "dataset": check.info.name,
        "release": check.info.release,
        "title": found.title,
        "runner_up": found.runner_up,
        "root": str(check.root),
        "synthetic": check.synthetic,
        "passed": check.passed,
        "cases": len(found.cases),
        "labelled": len(found.cases) - len(found.unlabelled),
        "unlabelled": [case.id for case in found.unlabelled],
        "bytes": check.n_bytes,
        "problems": [
            {
                "case": each.case,
                "level": "warning" if each.is_warning else "error",
                "message": each.message,
            }
            for each in check.problems
        ],
    }
