import json

import pytest

from bench.run.firewall import (
    READS_FILE,
    FirewallError,
    HeldOut,
    count_reads,
    read_selection,
    write_selection,
)


def never() -> list[str]:
    raise AssertionError("the held-out cases were touched")


def test_nothing_is_read_before_a_choice_is_on_record(tmp_path):
    with pytest.raises(FirewallError, match="the chosen weights must be on record"):
        HeldOut(tmp_path, never).open("abc")
    assert count_reads(tmp_path) == 0


def test_nothing_is_read_for_other_weights_than_the_chosen(tmp_path):
    write_selection(tmp_path, "run", "abc", 3, 0.5)
    for sha256 in ("abd", ""):
        with pytest.raises(FirewallError, match="firewall: abc was chosen, got"):
            HeldOut(tmp_path, never).open(sha256)
    assert count_reads(tmp_path) == 0


def test_the_cases_are_opened_once_and_the_read_is_on_record_first(tmp_path):
    write_selection(tmp_path, "run", "abc", 3, 0.5)
    held_out = HeldOut(tmp_path, lambda: [count_reads(tmp_path)])
    assert held_out.open("abc") == [1]
    with pytest.raises(FirewallError, match="a run opens the held-out cases once"):
        held_out.open("abc")
    assert count_reads(tmp_path) == 1


def test_a_second_attempt_in_the_same_folder_is_counted(tmp_path):
    write_selection(tmp_path, "run", "abc", 3, 0.5)
    HeldOut(tmp_path, list).open("abc")
    write_selection(tmp_path, "run", "other", 4, 0.6)
    HeldOut(tmp_path, list).open("other")
    lines = [json.loads(line) for line in (tmp_path / READS_FILE).read_text().splitlines()]
    assert [line["chosen_sha256"] for line in lines] == ["abc", "other"]
    assert count_reads(tmp_path) == 2


def test_a_read_that_fails_counts(tmp_path):
    write_selection(tmp_path, "run", "abc", 3, 0.5)
    with pytest.raises(AssertionError, match="touched"):
        HeldOut(tmp_path, never).open("abc")
    assert count_reads(tmp_path) == 1


def test_the_choice_can_be_read_back(tmp_path):
    assert read_selection(tmp_path) is None
    write_selection(tmp_path, "run", "abc", 3, 0.5)
    selection = read_selection(tmp_path)
    assert (selection.run_id, selection.chosen_sha256, selection.epoch, selection.val_dice) == (
        "run",
        "abc",
        3,
        0.5,
    )
