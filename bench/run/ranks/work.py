"""What each of the processes of a run does: the first carries it out, the others help it."""

import signal
from collections.abc import Callable

from bench.cost.flops import counted_passes
from bench.cost.memory import peak_memory_mib
from bench.run.execute import execute_run
from bench.run.interruption import SIGNALS
from bench.run.ranks.group import Used, join
from bench.run.setup import DONE, Ending, Setup, ending_of, set_up
from bench.run.training.reached import DivergedError
from bench.run.watch.progress import Stand
from bench.specs.run import Place, RunSpec


def lead(spec: RunSpec, place: Place, send: Callable[[str, Stand], None]) -> None:
    """Carry out a run as its first rank."""
    join(place)
    execute_run(spec, place, send)


def help_out(spec: RunSpec, place: Place, send: Callable[[Ending], None]) -> None:
    """Train and segment with the first rank; ``send`` is called with why that is not possible.

    Nothing is written. Where training diverges, it does so in every rank, and the first one tells.
    """
    for number in SIGNALS:  # the first rank decides when the run ends
        signal.signal(number, signal.SIG_IGN)
    ending = DONE
    try:
        join(place)
        setup = set_up(spec, place)
        setup.fit()
        n_passes = _serve(setup)
        used = Used(peak_memory_mib(setup.fabric.device), n_passes)
        setup.inference.ranks.end(used)
    except DivergedError:
        return
    except (Exception, SystemExit) as error:  # the first rank would wait for ever
        ending = ending_of(error, place.device)
    if ending is not DONE:
        send(ending)


def _serve(setup: Setup) -> int:
    """Segment cases with the first rank until it ends; return the passes of the last ones.

    These are the held-out cases.
    """
    n_passes = 0
    while True:
        with counted_passes(setup.model) as passes:
            if not setup.inference.serve():
                return n_passes
        n_passes = passes.n_passes
