from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, fields
from math import nan

import pytest

import methods
from bench.models.references import registry
from bench.specs import lookup
from methods.settings import RATE, SpecError, at_least, check, parse, setting


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("lroa", {}, r"unknown method 'lroa' \(did you mean 'lora'\?\); available: adapt.*"),
        ("xyzzy", {}, r"unknown method 'xyzzy'; available: adapt.*"),
        (
            "lora",
            {"rnk": 4},
            r"lora: unknown setting 'rnk' \(did you mean 'rank'\?\); available: alpha, .*",
        ),
        ("linear", {"rank": 4}, "linear: unknown setting 'rank'; available: blocks"),
        ("lora", {"rank": "0"}, "lora: rank must be >= 1, got 0"),
        ("lora", {"rank": "4.5"}, "lora: rank must be an integer, got '4.5'"),
        ("lora", {"rank": True}, "lora: rank must be an integer, got 'True'"),
        ("lora", {"alpha": "big"}, "lora: alpha must be a number, got 'big'"),
        ("lora", {"alpha": "nan"}, "lora: alpha must be > 0, got nan"),
        (
            "lora",
            {"placement": "q"},
            r"lora: placement must be one of qv, qkv, qkvo, all, got q \(did you mean 'qv'\?\)",
        ),
        (
            "med_adapter",
            {"fourier": "maybe"},
            "med_adapter: fourier must be true or false, got 'maybe'",
        ),
    ],
)
def test_bad_input_is_one_sentence(name, given, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        methods.build(name, given)


@pytest.mark.parametrize("name", [*methods.names(), *registry.names()])
def test_no_setting_takes_a_number_that_is_not_finite(name):
    kind = type(lookup.build(name, {}))
    for item in fields(kind):
        for number in ("nan", "inf", "-inf") if isinstance(item.default, float) else ():
            with pytest.raises(ValueError, match=item.name):
                lookup.build(name, {item.name: number})


def test_text_becomes_the_type_of_the_field():
    lora = methods.build("lora", {"rank": "4", "alpha": "16", "placement": "qkv"})
    assert methods.settings(lora) == {
        "rank": 4,
        "alpha": 16.0,
        "dropout": 0.0,
        "placement": "qkv",
        "blocks": "all",
    }
    assert lora == methods.build("lora", {"rank": 4, "alpha": 16, "placement": "qkv"})
    assert [
        methods.build("med_adapter", {"fourier": text}).fourier for text in ("False", "0", "true")
    ] == [False, False, True]


def test_label_names_what_differs_from_the_defaults():
    assert methods.label(methods.build("lora")) == "lora"
    assert methods.label(methods.build("lora", {"rank": 8})) == "lora"
    method = methods.build("med_adapter", {"ratio": 4, "fourier": False})
    assert methods.label(method) == "med_adapter[ratio=4,fourier=false]"
    assert methods.build("med_adapter", dict(methods.changed_settings(method))) == method


def test_every_name_leads_to_a_class_of_that_name():
    assert len(methods.names()) >= 7
    assert [methods.get(name).info.name for name in methods.names()] == methods.names()


def test_names_are_known_without_torch():
    code = """
import sys, methods, bench.models.registry, bench.specs.run
methods.names(), bench.models.registry.names()
sys.exit('torch' in sys.modules)"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@dataclass(frozen=True)
class Declared:
    """Settings of every type that can be declared."""

    depth: int = setting(1, "an integer", at_least(1))
    share: float = setting(0.5, "a number", RATE)
    shape: tuple[int, int, int] = setting((1, 2, 3), "three integers")
    spacing: tuple[float, float, float] | None = setting(None, "three numbers or none")


def test_text_is_read_as_every_declared_type():
    given = {"depth": "4", "share": "0", "shape": "4,5,6", "spacing": "1,0.5,2"}
    assert Declared(**parse("own", Declared, given)) == Declared(4, 0.0, (4, 5, 6), (1.0, 0.5, 2.0))
    assert parse("own", Declared, {"spacing": "none"}) == {"spacing": None}
    for key, text, words in (
        ("shape", "4,5", "three integers D,H,W"),
        ("spacing", "wide", "three lengths D,H,W in mm, or none"),
    ):
        with pytest.raises(SpecError, match=f"^own: {key} must be {words}, got '{text}'$"):
            parse("own", Declared, {key: text})


def test_a_broken_condition_names_the_field_the_condition_and_the_value():
    check("own.{}:", Declared())
    with pytest.raises(SpecError, match=r"^own\.depth: must be >= 1, got 0$"):
        check("own.{}:", Declared(depth=0))
    with pytest.raises(SpecError, match=r"^own\.share: must be in \[0, 1\), got nan$"):
        check("own.{}:", Declared(share=nan))
