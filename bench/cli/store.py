"""The commands on the tracking store: `sync` and `ui`."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from bench.cli.terminal import EXIT_FAILED, EXIT_INTERRUPTED
from bench.tracking import connection, publishing
from bench.tracking.browsing import list_addresses
from bench.tracking.store import open_store
from datasets.processes import GRACE_S, build_follower
from reports.formats.terminal import SafeConsole, escape
from reports.records.text import mask_passwords

commands = typer.Typer()


@commands.command()
def sync(out: Annotated[Path, Option(help="What `run` wrote to.")] = Path("results")) -> None:
    """Send to MLflow every result and study below --out that it lacks.

    After the tracking server was away, after mlflow.db was lost, after the folder was moved.

    Exit code: 0 all are there, 1 some result cannot be read, 2 the store cannot be reached.
    """
    console = SafeConsole()
    uri = connection.default_uri()
    moved = connection.repair_moved(uri)
    tally = publishing.sync(open_store(uri), out)
    lines = []
    if moved:
        names = ", ".join(moved)
        lines.append(f"the store was moved: the files of {names} are looked for beside it")
    lines += [f"sent {run_id}" for run_id in tally.sent]
    lines += [f"sent study {name}" for name in tally.sent_studies]
    lines.append(f"sent {len(tally.sent)} of {tally.n_results} results to {mask_passwords(uri)}")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    for problem in tally.problems:
        console.print(f"[red]problem:[/] {escape(problem)}", soft_wrap=True)
    console.print(f"browse:  [bold]{escape(connection.describe_browsing(uri))}[/]", soft_wrap=True)
    _print_addresses(list_addresses(), console)
    if tally.problems:
        raise typer.Exit(EXIT_FAILED)


def _print_addresses(addresses: Sequence[str], console: SafeConsole) -> None:
    """Print where the results are, once a server runs: a view for each data set."""
    for address in addresses:
        console.print(f"         {escape(address)}", soft_wrap=True)


@commands.command()
def ui(
    host: Annotated[str, Option(help="Address to listen on; 0.0.0.0: every one.")] = "127.0.0.1",
    port: Annotated[int, Option(min=1, max=65535, help="Port on this machine.")] = 5000,
) -> None:
    """Open the MLflow UI on the store that `run` writes to.

    Printed is the address of each data set's results: a table of the runs, highest Dice first.
    It ends with Ctrl-C or SIGTERM, and its server with it.
    """
    uri = connection.default_uri()
    if uri.startswith("http"):
        hint = "open that address in a browser"
        raise ValueError(f"ui: MLFLOW_TRACKING_URI is a server, got {mask_passwords(uri)} ({hint})")
    check_address(host, port)
    shown = "127.0.0.1" if host == "0.0.0.0" else host
    _print_addresses(list_addresses(server=f"http://{shown}:{port}"), SafeConsole())
    connection.prepare_environment()  # the UI must not send usage data either
    # an argument would show a password in the list of processes
    environment = os.environ | {"MLFLOW_BACKEND_STORE_URI": uri}
    command = [sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port)]
    raise typer.Exit(serve(command, environment))


def check_address(host: str, port: int) -> None:
    """Raise ValueError if a server cannot listen there; MLflow's ends with 0 then."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
            tried.listen()
    except OSError as error:
        rule = f"--host and --port must be where a server can listen, got {host}:{port}"
        raise ValueError(f"ui: {rule} ({error.strerror}; is another `ui` running?)") from None


def serve(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a server until it ends, or until a signal ends this process; return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = subprocess.Popen(
        command, env=environment, preexec_fn=build_follower(), start_new_session=True
    )
    try:
        return server.wait()
    except KeyboardInterrupt:
        _end_group(server)
        return EXIT_INTERRUPTED


def _end_group(server: subprocess.Popen[bytes]) -> None:
    """End a server and the processes that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(GRACE_S)
