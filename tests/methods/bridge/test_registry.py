"""Which types of peft there are, their names and settings, and what is said where one fails."""

from __future__ import annotations

from dataclasses import fields

import pytest
from peft import PeftType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

import methods
from bench.cli.app import main
from bench.models.contract import Subject
from bench.specs.protocol import Protocol
from bench.tuning.space import build_space
from methods.bridge import registry
from methods.bridge.method import OURS
from methods.bridge.names import TABLES, UNUSABLE
from methods.settings import SpecError
from reports.names import BUILT_IN

TUNERS = [registry.find(name) for name in registry.names()]


def test_every_type_of_the_installed_library_is_used_or_refused_with_a_reason():
    used = {tuner.peft for tuner in TUNERS}
    refused = {name.upper() for name in UNUSABLE}
    assert used | refused == {kind.name for kind in PeftType}
    assert not used & refused
    assert len(TUNERS) >= 25


@pytest.mark.parametrize("tuner", TUNERS, ids=lambda tuner: tuner.name)
def test_a_row_fits_the_library_and_is_complete(tuner):
    known = {item.name for item in fields(PEFT_TYPE_TO_CONFIG_MAPPING[PeftType[tuner.peft]])}
    assert known >= {*tuner.settings, *tuner.fixed}
    assert not {*tuner.settings} & {*OURS}
    kind = methods.get(f"peft:{tuner.name}")
    assert next(item.name for item in fields(kind)) == "blocks"
    assert kind.info.paper
    assert kind.info.url.startswith("https://")
    assert BUILT_IN[kind.info.name] == f"{tuner.title} (peft)"


def test_the_names_are_those_of_the_rows():
    assert sum(map(len, TABLES.values())) == len(set(registry.names())) == len(TUNERS)
    assert methods.groups()["peft"] == registry.names()
    assert not set(methods.groups()["all"]) & set(registry.names())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("peft:dorra", "unknown type 'peft:dorra' (did you mean 'peft:dora'?)"),
        ("peft:prefix_tuning", "peft:prefix_tuning: cannot be put into a vision backbone (it puts"),
        ("peft:hra[r=3]", "peft:hra: r must be an even number >= 2, got 3"),
        ("peft:dora[rank=3]", "peft:dora: unknown setting 'rank'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(name, sentence, capsys):
    assert main(["check", name, "--backbone", "tiny_vit"]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_what_the_library_refuses_is_said_in_its_words():
    method = methods.build("peft:psoft", {"r": 4000})
    with pytest.raises(ValueError, match=r"peft:psoft: peft says: `r` \(4000\) must be less"):
        Subject(method).build_tuned()


def test_without_the_library_one_sentence_names_the_extra(monkeypatch, capsys):
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    monkeypatch.setattr("methods.bridge.method.get", lambda name: registry.check_installed(name))
    with pytest.raises(ValueError, match=r"pip install 'medtuning-bench\[peft\]'"):
        methods.build("peft:dora")
    assert main(["plan", "--methods", "peft:dora", "--datasets", "brats"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "method 'peft:dora': needs the library peft" in error


def test_tuning_tries_the_rates_of_the_type():
    def span(name):
        space = build_space(methods.build(name), Protocol())
        return next((each.low, each.high) for each in space if each.key == "train.lr")

    assert span("peft:fourierft") == (1e-3, 1e-1)
    assert span("peft:dora") == (1e-4, 1e-2)
    assert span("lora") == (1e-5, 1e-1)


def test_settings_are_checked_as_those_of_our_own():
    assert methods.label(methods.build("peft:dora", {"r": "4"})) == "peft:dora[r=4]"
    with pytest.raises(SpecError, match="must be >= 1, got 0"):
        methods.build("peft:dora", {"r": 0})


def test_the_list_shows_all_types_with_their_papers(capsys):
    assert main(["list", "methods", "--all"]) == 0
    output = capsys.readouterr().out
    assert all(name in output for name in registry.names())
    assert all(f"peft:{name}" in output for name in UNUSABLE)
    assert "Weight-Decomposed" in output


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("peft:lora", {"lora_alpha": 0}, "lora_alpha must be >= 1, got 0"),
        ("peft:adalora", {"target_r": 20}, "target_r must be <= init_r=12, got 20"),
    ],
)
def test_settings_without_a_meaning_are_refused(name, given, sentence):
    with pytest.raises(SpecError, match=f"^{name}: {sentence}"):
        methods.build(name, given)


def test_a_rank_that_the_library_lowers_by_itself_is_refused():
    method = methods.build("peft:pissa", {"r": 300})
    sentence = "must train 921,600 parameters by its closed form, got 393,216 in peft"
    with pytest.raises(ValueError, match=f"^peft:pissa: {sentence}"):
        Subject(method).build_tuned()
