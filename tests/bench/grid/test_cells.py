from dataclasses import replace
from pathlib import Path

import pytest

import datasets
import methods
from bench.cli.options import Request
from bench.cli.request import read_request
from bench.grid.cells import parse_methods, parse_names, parse_numbers
from bench.grid.plan import Experiment, expand, lay_out
from bench.grid.sources import DataSource
from bench.specs.presets import PhantomSpec
from bench.specs.protocol import Protocol, SpecError
from bench.specs.run import MethodSpec


def test_all_means_every_registered_method():
    assert [spec.name for spec in parse_methods("all")] == methods.names()


def test_a_group_means_its_methods():
    assert tuple(spec.name for spec in parse_methods("paper")) == methods.PAPER
    assert [str(spec) for spec in parse_methods("prompt,lora,paper")][:3] == [
        "vpt_shallow",
        "vpt_deep",
        "lora",
    ]
    for group, names in methods.groups().items():
        assert [spec.name for spec in parse_methods(group)] == names
    with pytest.raises(SpecError, match="--methods: 'adapter' takes no settings, got 'adapter"):
        parse_methods("adapter[bottleneck=8]")


def test_brackets_expand_to_a_grid():
    assert [str(spec) for spec in parse_methods("lora[rank=4,8],linear")] == [
        "lora[rank=4]",
        "lora[rank=8]",
        "linear",
    ]
    swept = [str(spec) for spec in parse_methods("lora[rank=4,8,alpha=1,2]")]
    assert swept == [
        "lora[rank=4,alpha=1]",
        "lora[rank=4,alpha=2]",
        "lora[rank=8,alpha=1]",
        "lora[rank=8,alpha=2]",
    ]


def test_reference_networks_have_settings_as_methods_do():
    assert [str(spec) for spec in parse_methods("linear,net:nnunet[features=4,8]")] == [
        "linear",
        "net:nnunet[features=4]",
        "net:nnunet[features=8]",
    ]


def test_repeated_methods_count_once():
    assert parse_methods("linear,full,linear") == [MethodSpec("linear"), MethodSpec("full")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lroa", r"unknown method 'lroa' \(did you mean 'lora'\?\)"),
        ("LoRA", r"unknown method 'LoRA' \(did you mean 'lora'\?\)"),
        ("peft:LORA", r"unknown type 'peft:LORA' \(did you mean 'peft:lora'\?\)"),
        ("net:unter", r"unknown network 'net:unter' \(did you mean 'net:unetr'\?\)"),
        ("lora,,full", "--methods: must be a comma-separated list"),
        ("", "--methods: must be a comma-separated list"),
        ("lora[rank", "--methods: cannot read"),
        ("lora[rank=4,rank=8]", r"must give rank once, got it twice \(several .* rank=4,8\)"),
        ("lora[4]", r"--methods: settings must look like name\[key=value\]"),
        ("all[rank=4]", "--methods: 'all' takes no settings"),
    ],
)
def test_unreadable_methods_are_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_methods(text)


@pytest.mark.parametrize(
    ("text", "upper", "numbers"),
    [
        ("0", 5, [0]),
        ("0,2", 5, [0, 2]),
        ("1-3", 5, [1, 2, 3]),
        ("all", 3, [0, 1, 2]),
        ("7", None, [7]),
        ("1,1", 5, [1]),
    ],
)
def test_numbers(text, upper, numbers):
    assert parse_numbers(text, "--folds", upper) == numbers


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("5", "--folds: must be below 5, got '5'"),
        ("x", "--folds: must be numbers"),
        ("-1", "--folds: must be numbers"),
    ],
)
def test_wrong_numbers_are_one_sentence(text, sentence):
    with pytest.raises(SpecError, match=sentence):
        parse_numbers(text, "--folds", 5)


def test_names_expand_all_and_drop_repeats():
    assert parse_names("all", ["brats", "kits"], "--datasets") == ["brats", "kits"]
    assert parse_names("kits,kits", ["brats", "kits"], "--datasets") == ["kits"]


def make_source(name, root, fingerprint):
    return DataSource(name, root, datasets.open_root(name, root), (), fingerprint)


def test_the_grid_is_the_product_of_its_axes():
    sources = [make_source("brats", Path("a"), "1"), make_source("kits", Path("b"), "2")]
    experiment = Experiment(
        methods=(MethodSpec("full"), MethodSpec("linear")),
        roots={source.name: source.root for source in sources},
        folds=(0, 1),
        seeds=(0, 1, 2),
        protocol=Protocol(),
        phantom=None,
        out=Path(),
    )
    specs = expand(experiment, sources)
    assert len(specs) == len({spec.run_id for spec in specs}) == 2 * 2 * 2 * 3
    assert [spec.method.name for spec in specs[:2]] == ["full", "linear"]
    assert {spec.root for spec in specs if spec.dataset == "kits"} == {Path("b")}


def test_each_number_of_shots_is_a_protocol_of_its_own():
    source = make_source("brats", Path("a"), "1")
    experiment = Experiment(
        (MethodSpec("full"),), {}, (0,), (0,), Protocol(), None, Path(), shots=(2, 4)
    )
    specs = expand(experiment, [source])
    assert [spec.cell.shots for spec in specs] == [2, 4]
    assert len({spec.protocol_id for spec in specs}) == 2


def test_runs_on_other_embedded_weights_are_other_runs(tmp_path, monkeypatch):
    request = Request(methods="linear", set=["data.patch=4,32,32"], out=tmp_path)
    experiment = replace(read_request(request), phantom=PhantomSpec(3, (16, 32, 32)))

    def lay_out_with(sha256):
        monkeypatch.setattr("bench.models.build.check_weights", lambda *_, **__: sha256)
        return [run.run_id for run in lay_out(experiment, lambda *_: None).runs]

    assert lay_out_with("a" * 64) == lay_out_with("a" * 64)
    assert lay_out_with("a" * 64) != lay_out_with("b" * 64)
