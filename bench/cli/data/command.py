"""The commands below `data`: `demo` (example data), `check` (what is wrong), `splits` (folds).

`export` has a file of its own.
"""

import shlex
from functools import partial
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer import Option

import datasets as registry
from bench.cli.data.export import export
from bench.cli.data.opening import Root, Told, open_all
from bench.cli.display.cases import case_progress
from bench.cli.terminal import EXIT_FAILED, SYNTHETIC
from bench.grid.sources import check_exclude
from datasets.base import list_first
from datasets.grouping import Group, group_sentences
from datasets.phantoms.layouts import get_layout
from datasets.phantoms.write import DEMO_SHAPE, FULL_SHAPE, write_phantoms
from datasets.processes import PROGRAM
from datasets.splits.file import write_split_file
from datasets.volumes.checking import Findings, check_dataset
from reports.formats.terminal import SafeConsole, escape
from reports.records.text import count

MIB = 1 << 20
FEWEST_TO_RUN = 4  # cases: three folds, and two cases to train and to select on
LEVELS = {"warning": "[yellow]warning[/]", "error": "[red]error[/]"}
commands = typer.Typer()
data = typer.Typer(help="Check data, write folds and example data.", no_args_is_help=True)
commands.add_typer(data, name="data")
data.command()(export)


@data.command()
def demo(
    out: Annotated[Path, Option(help="Folder to write to.")],
    dataset: Annotated[str | None, Option(help="brats (default), kits21, ...")] = None,
    layout: Annotated[str | None, Option(help="brats2023, msd01, lits-kaggle, ...")] = None,
    cases: Annotated[int, Option(min=1, help="How many.")] = 10,
    seed: Annotated[int, Option(min=0, help="Other seeds give other volumes.")] = 0,
    full_size: Annotated[
        bool, Option("--full-size", help="155x240x240 voxels, not 32x64x64.")
    ] = False,
) -> None:
    """Write synthetic volumes in the real data set's files and folders."""
    console = SafeConsole()
    if dataset is not None:
        registry.check_name(dataset)
    chosen = get_layout(layout or dataset or "brats")
    name = registry.get(chosen.dataset).find_release(chosen.release).identity
    if dataset not in (None, chosen.dataset, name):
        rule = f"layout '{layout}' is one of {chosen.dataset}"
        raise ValueError(f"phantom: {rule}, got data set {dataset}")
    shape = FULL_SHAPE if full_size else DEMO_SHAPE
    with case_progress(console) as on_case:
        on_written = partial(on_case, "writing")
        write_phantoms(chosen.release, out, cases, seed=seed, shape=shape, on_case=on_written)
    console.print(f"wrote {count(cases, 'synthetic case')}; use them with", soft_wrap=True)
    words = ["run", "--preset", "demo"] if cases >= FEWEST_TO_RUN else ["data", "check"]
    words += ["--datasets", name, "--data-root", str(out)]
    console.print(f"  {PROGRAM} {escape(shlex.join(words))}", soft_wrap=True)


@data.command()
def check(
    data_root: Root = None,
    datasets: Annotated[
        str | None, Option(help="Comma list of brats, kits21, datalists, ...; default: all found.")
    ] = None,
    release: Told = None,
    jobs: Annotated[int, Option(min=0, help="Processes that read; 0: one a core.")] = 0,
    json: Annotated[bool, Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Read every byte of a data set and list everything that is wrong with it.

    Exit code: 0 all cases can be used (warnings do not count), 1 some cannot, 2 bad input.
    """
    checks = []
    with case_progress(SafeConsole(stderr=True)) as on_case:
        for dataset in open_all(data_root, datasets, release):
            on_read = partial(on_case, f"reading {dataset.info.title}")
            checks.append(check_dataset(dataset, jobs, on_read))
    if json:
        typer.echo(dumps([_record(each) for each in checks], indent=1))
    else:
        for each in checks:
            _print_findings(each, SafeConsole())
    if not all(each.passed for each in checks):
        raise typer.Exit(EXIT_FAILED)


@data.command()
def splits(
    datasets: Annotated[str, Option(help="brats, kits21, ... or a datalist (.json).")],
    data_root: Root = None,
    release: Told = None,
    folds: Annotated[int, Option(min=2, help="How many.")] = 5,
    exclude: Annotated[str, Option(help="Preset of cases to leave out, such as nnunet2019.")] = "",
    out: Annotated[Path, Option(help="File to write.")] = Path("splits_final.json"),
) -> None:
    """Write the folds that runs use, by nnU-Net's rule, as nnU-Net reads them.

    A run takes such a file from the data's folder by itself, or from elsewhere with --set
    data.splits=FILE.
    """
    opened = open_all(data_root, datasets, release)
    if len(opened) != 1:
        raise ValueError(f"--datasets: must be one data set, got {datasets}")
    check_exclude(exclude, opened)
    cases = opened[0].find_labelled(exclude)
    write_split_file(out, cases, folds)
    SafeConsole().print(
        f"wrote {folds} folds of {len(cases)} cases to {escape(out)}", soft_wrap=True
    )


def _print_findings(findings: Findings, console: Console) -> None:
    found = findings.discovery
    n_unlabelled = len(found.unlabelled)
    n_cases = len(found.cases)
    lines = [
        f"[bold]{escape(findings.info.title)}[/] ({findings.info.name}) in "
        f"{escape(findings.root)}: {n_cases} cases, {n_cases - n_unlabelled} with a label, "
        f"{findings.n_bytes / MIB:,.1f} MiB read{SYNTHETIC[findings.synthetic]}"
    ]
    if found.runner_up:
        lines.append(f"runner-up by the names of the files: {escape(found.runner_up)}")
    if n_unlabelled:
        names = ", ".join(case.id for case in found.unlabelled)
        lines.append(f"without a label, for prediction alone: {escape(names)}")
    for line in lines:
        console.print(line, soft_wrap=True)
    for group in group_sentences((each.case, each.message) for each in findings.notes):
        console.print(f"note: {escape(_tell(group))}", soft_wrap=True)
    if findings.problems:
        console.print(_problems_table(findings))
    else:
        console.print("[green]nothing is wrong[/]")


def _tell(group: Group) -> str:
    """Return the first sentence of a group, and how many others are like it."""
    others = f" ({group.others_text})" if group.others_text else ""
    return f"{group.sentences[0]}{others}"


def _count(group: Group) -> str:
    """Return the number of cases of a group, and of sentences if a case has several."""
    n_cases, n_sentences = len(group.cases), len(group.sentences)
    return f"{n_cases}" if n_sentences == n_cases else f"{n_cases} ({n_sentences} files)"


def _problems_table(findings: Findings) -> Table:
    """Return a row for each cause: how many cases it has, the range of its figures, an example."""
    n_errors = sum(not problem.is_warning for problem in findings.problems)
    title = f"{n_errors} errors, {len(findings.problems) - n_errors} warnings"
    table = Table(title=title, show_lines=True)
    for heading in ("cases", "what", "range", "sentence"):
        table.add_column(heading, overflow="fold")
    for level, group in _group(findings):
        cases = list_first(group.cases)
        if len(group.sentences) > 1:
            cases = f"{_count(group)}: {cases}" if cases else f"{len(group.sentences)} times"
        table.add_row(escape(cases), LEVELS[level], group.range_text, escape(group.sentences[0]))
    return table


def _group(findings: Findings) -> list[tuple[str, Group]]:
    """Return the groups of errors, then of warnings."""
    found = []
    for level, is_warning in (("error", False), ("warning", True)):
        chosen = [each for each in findings.problems if each.is_warning is is_warning]
        for group in group_sentences((each.case, each.message) for each in chosen):
            found.append((level, group))
    return found


def _record(findings: Findings) -> dict[str, Any]:
    found = findings.discovery
    problems = []
    for each in findings.problems:
        level = "warning" if each.is_warning else "error"
        problems.append({"case": each.case, "level": level, "message": each.message})
    groups = []
    for level, group in _group(findings):
        facts = {"level": level, "cases": group.cases, "ranges": group.ranges}
        groups.append({**facts, "sentences": len(group.sentences), "first": group.sentences[0]})
    return {
        "dataset": findings.info.name,
        "release": findings.info.release,
        "title": findings.info.title,
        "runner_up": found.runner_up,
        "root": str(findings.root),
        "synthetic": findings.synthetic,
        "passed": findings.passed,
        "cases": len(found.cases),
        "labelled": len(found.cases) - len(found.unlabelled),
        "unlabelled": [case.id for case in found.unlabelled],
        "bytes": findings.n_bytes,
        "problems": problems,
        "groups": groups,
        "notes": [each.message for each in findings.notes],
    }
