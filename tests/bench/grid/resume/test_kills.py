"""SIGKILL at random moments of one run, as the benchmark does it more often."""

import pytest

from benchmarks.runs import resume

pytestmark = pytest.mark.slow


def test_a_run_that_is_killed_again_and_again_ends_as_if_undisturbed(tmp_path, capsys):
    assert resume.kill_often(tmp_path, 3, 6.0, 1.0) == []
    assert capsys.readouterr().out.count("\n") >= 6
