"""SIGKILL at random moments of one run, as the benchmark does it more often."""

import pytest

from benchmarks import cluster, resume

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kills")]


def test_a_run_that_is_killed_again_and_again_ends_as_if_undisturbed(tmp_path, capsys):
    assert resume.kill_often(tmp_path, 3, 6.0, 1.0) == []
    printed = capsys.readouterr().out
    assert printed.count("\n") >= 6
    assert "the end" in printed


def test_no_cell_of_many_is_lost_though_jobs_and_commands_are_killed(tmp_path, capsys):
    assert cluster.follow_many(tmp_path, 20, 5, 4) == 0, capsys.readouterr().out
    assert "lost 0" in capsys.readouterr().out
