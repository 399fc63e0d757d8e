from __future__ import annotations

import subprocess
import sys

import pytest

import methods


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        (
            "lroa",
            {},
            r"unknown method 'lroa' \(did you mean 'lora'\?\); available: adaptformer, full, .*",
        ),
        ("xyzzy", {}, r"unknown method 'xyzzy'; available: adaptformer, full, .*"),
        (
            "lora",
            {"rnk": 4},
            r"lora: unknown setting 'rnk' \(did you mean 'rank'\?\); available: alpha, .*",
        ),
        ("linear", {"rank": 4}, "linear: unknown setting 'rank'; available: none"),
        ("lora", {"rank": "0"}, "lora: rank must be >= 1, got 0"),
        ("lora", {"rank": "4.5"}, "lora: rank must be an integer, got '4.5'"),
        ("lora", {"rank": True}, "lora: rank must be an integer, got 'True'"),
        ("lora", {"alpha": "big"}, "lora: alpha must be a number, got 'big'"),
        ("lora", {"alpha": "nan"}, "lora: alpha must be > 0, got nan"),
        ("lora", {"placement": "q"}, "lora: placement must be one of qv, qkv, qkvo, all, got q"),
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
    code = "import sys, methods, bench.models.registry as r; methods.names(), r.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
