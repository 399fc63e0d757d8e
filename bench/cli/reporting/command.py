"""The command `report`; what it needs of tables and pictures is imported when it is used."""

import typer

from bench.cli.options import takes
from bench.cli.reporting.options import ReportOptions
from bench.tracking.connection import gc_paused

commands = typer.Typer()


@commands.command()
@takes(ReportOptions)
def report(options: ReportOptions) -> None:
    """Print the tables of everything that MLflow holds.

    Formats are Markdown, CSV, HTML, and LaTeX that goes into a paper as it is.

    With [bold]--figures --out report/[/] everything at once: tables, numbers, pictures and a page
    to open in a browser.
    """
    with gc_paused():
        request = options.read()
        from bench.cli.reporting.writing import write_report  # imports pandas

        write_report(request, options)
