"""What `list methods` counts."""

from __future__ import annotations

import json

import pytest

import methods
from bench.cli.app import main
from bench.cost.inventory import NetworkShape, build_outline, count_methods
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.segmenter import apply_method
from methods.low_rank.lora import Lora

TINY = [
    "list",
    "methods",
    "--backbone",
    "tiny_vit",
    "--patch",
    "3,32,64",
    "--channels",
    "2",
    "--classes",
    "5",
]


def print_of(capsys, *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_counts_are_those_of_real_networks(capsys):
    printed = json.loads(print_of(capsys, *TINY, "--json"))
    assert [printed[key] for key in ("backbone", "patch", "channels", "classes")] == [
        "tiny_vit",
        [3, 32, 64],
        2,
        5,
    ]
    assert [row["name"] for row in printed["methods"]] == methods.names()
    for row in printed["methods"]:
        model = build_segmenter(
            Blueprint("tiny_vit"), in_channels=2, n_classes=5, patch=(3, 32, 64), seed=0
        )
        apply_method(model, methods.build(row["name"]), seed=0)
        trained = sum(
            parameter.numel() for parameter in model.parameters() if parameter.requires_grad
        )
        assert row["total"] == sum(parameter.numel() for parameter in model.parameters())
        assert row["trained"] == trained == sum(row["trained_by_part"].values())
        assert row["trained_by_part"]["decoder"] == sum(
            parameter.numel() for parameter in model.decoder.parameters()
        )


@pytest.mark.parametrize(
    ("backbone", "tuned"),
    [
        ("vit_b16", {"linear": 0, "vpt_deep": 92_160, "lora": 294_912, "adaptformer": 1_189_632}),
        ("swin_tiny", {"linear": 0, "vpt_deep": 44_160, "lora": 141_312, "adaptformer": 570_432}),
    ],
)
def test_large_backbones_are_counted_without_their_memory(backbone, tuned):
    counts = {count.name: count for count in count_methods(NetworkShape(backbone))}
    assert {name: counts[name].trained_by_part.method for name in tuned} == tuned
    facts = {
        count.name: (count.mergeable, count.identity_at_step_0, count.reason)
        for count in counts.values()
    }
    assert facts["lora"] == (True, True, None)
    assert facts["med_adapter"] == (False, False, None)
    full = counts["full"]
    assert full.trained == full.total > 27_000_000
    assert full.trained_by_part.other == 0


@pytest.mark.parametrize(
    ("backbone", "totals", "linear", "med_adapter"),
    [
        ("vit_b16", (100_849_156, 103_694_852), 15_007_492, 17_853_188),
        ("swin_t_unet", (27_154_116, 27_891_684), 6_751_530, 7_489_098),
    ],
)
def test_paper_protocol_has_the_authors_numbers(backbone, totals, linear, med_adapter):
    counts = {
        count.name: count
        for count in count_methods(NetworkShape(backbone, also_train="paper", prefix_tokens="drop"))
    }
    assert (counts["full"].trained, counts["linear"].total) == (totals[0], totals[0])
    assert counts["med_adapter"].total == totals[1]
    assert (counts["linear"].trained, counts["med_adapter"].trained) == (linear, med_adapter)
    assert counts["lora"].trained_by_part.other == counts["linear"].trained_by_part.other > 0
    assert counts["full"].trained_by_part.other == 0


def test_a_wrong_closed_form_is_noticed(monkeypatch):
    monkeypatch.setattr(Lora, "expected_tuned", lambda self, backbone: 1)
    with pytest.raises(AssertionError, match="lora: trains 24576, its closed form says 1"):
        count_methods(NetworkShape("tiny_vit", patch=(3, 32, 32)))


def test_a_method_without_a_place_is_listed_with_the_reason(monkeypatch, capsys):
    monkeypatch.setattr(Lora, "needed_roles", lambda self: ("keel",))
    monkeypatch.setenv("COLUMNS", "300")
    by_name = {
        count.name: count for count in count_methods(NetworkShape("tiny_vit", patch=(3, 32, 32)))
    }
    assert by_name["lora"].trained is None
    assert by_name["linear"].trained > 0
    assert "lora needs role 'keel'; backbone 'tiny_vit' offers" in print_of(capsys, *TINY)


def test_table_shows_parts_and_facts(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    printed = print_of(capsys, *TINY)
    assert "tiny_vit, 2 channels, 5 classes, patch 3x32x64" in printed
    for heading in ("total", "trained", "method", "decoder", "other"):
        assert heading in printed
    row, facts = (
        line for line in printed.splitlines() if line.split()[:1] in (["lora"], ["lora:"])
    )
    assert "24,576" in row
    assert "lora: identity at step 0, merges; Hu et al." in facts


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["methods", "--json"], "list methods: --json needs --backbone"),
        (["methods", "--patch", "3,32,32"], "list methods: --patch needs --backbone"),
        (
            ["datasets", "--backbone", "tiny_vit"],
            "list datasets: only `list methods` takes --backbone",
        ),
        (
            ["methods", "--backbone", "tiny_vti"],
            "unknown backbone 'tiny_vti' (did you mean 'tiny_vit'?)",
        ),
        (
            ["methods", "--backbone", "tiny_vit", "--patch", "3,32"],
            "--patch: must be three integers D,H,W, got '3,32'",
        ),
        (
            ["methods", "--backbone", "tiny_vit", "--patch", "0,32,32"],
            "patch: sizes must be >= 1, got 0,32,32",
        ),
        (
            ["methods", "--backbone", "tiny_vit", "--patch", "3,32,33"],
            "slices must be divisible by 8, got 32x33",
        ),
    ],
)
def test_what_cannot_be_counted_is_said_in_a_sentence(arguments, sentence, capsys):
    assert main(["list", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_a_count_takes_another_decoder_and_no_class_token(capsys):
    options = ["--decoder", "upernet_medtuning", "--prefix-tokens", "drop", "--json"]
    command = ["list", "methods", "--backbone", "timm:test_vit", "--patch", "3,32,64"]
    counts = {}
    for given in ([], options[:2], options[2:4]):
        printed = json.loads(print_of(capsys, *command, *given, "--json"))
        counts[" ".join(given)] = next(row for row in printed["methods"] if row["name"] == "full")
    plain, other, dropped = counts.values()
    assert dropped["trained"] == plain["trained"] - 2 * 64
    assert dropped["trained_by_part"]["decoder"] == plain["trained_by_part"]["decoder"]
    assert other["trained_by_part"]["method"] == plain["trained_by_part"]["method"]
    assert other["trained_by_part"]["decoder"] > 1_000_000 > plain["trained_by_part"]["decoder"]


def test_an_outline_is_the_callers_own():
    shape = NetworkShape("tiny_vit", patch=(4, 32, 32))
    names = [name for name, _ in build_outline(shape).named_parameters()]
    changed = build_outline(shape)
    apply_method(changed, Lora(), seed=0)
    assert [name for name, _ in changed.named_parameters()] != names
    assert [name for name, _ in build_outline(shape).named_parameters()] == names
