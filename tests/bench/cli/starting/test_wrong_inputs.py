"""Forty wrong inputs: each is one sentence, ends with 2, and costs less than 2 s of processor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.app import main
from tests.bench.cli.starting import wrong_inputs
from tests.bench.cli.starting.wrong_inputs import EMPTY, HEAVY, LIGHT

ROOT = Path(__file__).resolve().parents[4]
MOST_S = 2.0


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrong")
    done = subprocess.run(
        [sys.executable, wrong_inputs.__file__, str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        check=True,
        capture_output=True,
        text=True,
    )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert not list(folder.iterdir())
    return {" ".join(record["arguments"]): record for record in records}


def test_there_are_forty_of_them():
    assert len(LIGHT) == 40
    assert len({tuple(words) for words, _ in LIGHT}) == 40


@pytest.mark.parametrize(("words", "sentence"), LIGHT)
def test_it_is_one_sentence_at_once(words, sentence, answers):
    record = answers[" ".join(words)]
    assert record["code"] == 2
    if sentence:
        assert record["error"].startswith("error: ")
        assert sentence in record["error"]
        assert len(record["error"].splitlines()) == 1
    assert not record["heavy"]
    assert record["seconds"] < MOST_S


@pytest.mark.parametrize("words", EMPTY)
def test_an_empty_value_is_not_the_default(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    option = next(word for word in words if word.startswith("--")).removesuffix("=")
    sentence = f"error: command line: {option} must have a value, got an empty one"
    assert capsys.readouterr().err.startswith(sentence)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("words", "sentence"), HEAVY)
def test_what_needs_more_is_one_sentence_as_well(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {sentence}")
    assert len(printed.splitlines()) == 1
