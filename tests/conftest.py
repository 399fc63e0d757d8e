"""Options and environment of all tests."""

import os
import signal
from collections import Counter

import pytest

from bench.tracking.connection import prepare_environment
from medtuning_bench.place import put_first

put_first()  # as the command line does, for tests that leave this folder and then start children
os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch reads it at its first import
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for jobs in a script's background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # children would ignore Ctrl-C, too
prepare_environment()  # MLflow reads its environment at its first import, and MONAI imports it


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--forbid-skips",
        action="store_true",
        help="fail if a test was skipped: where everything is installed, nothing has to be",
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if skipped and session.config.getoption("--forbid-skips"):
        reporter.write_line(f"\n{len(skipped)} skipped, which --forbid-skips forbids", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, then those with many tests.

    Workers take file after file (`--no-loadscope-reorder`): what comes last is short, so that they
    end at about the same time.
    """
    counts = Counter(item.path for item in items)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, -counts[item.path]))
