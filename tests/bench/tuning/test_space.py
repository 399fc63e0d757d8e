"""What `tune` searches: the dimensions of methods and of the protocol, their ranges, wrong ones."""

import pytest

from bench.specs import lookup
from bench.specs.presets import PRESETS
from bench.specs.protocol import Protocol, SpecError, override
from bench.tuning.space import build_space, check_dimensions, defaults, split_values
from methods import METHODS, build
from tests.bench.tuning.formulas import end


def test_the_space_holds_the_methods_choices_and_the_shared_ranges():
    space = {dimension.key: dimension for dimension in build_space(build("lora", {}), Protocol())}
    assert {
        "method.rank",
        "method.alpha",
        "train.lr",
        "train.weight_decay",
        "train.warmup_frac",
    } <= space.keys()
    assert space["method.rank"].choices == (4, 8, 16)
    assert (space["train.lr"].default, space["train.lr"].log) == (1e-3, True)


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        ("lora.rank=16..64", "--search: lora.rank must include its default 8"),
        ("lora.rnk=2..64", r"lora has no setting 'rnk' \(did you mean 'rank'\?\)"),
        ("train.epochs=1..3", "unknown dimension 'train.epochs'"),
        ("lora.rank", "must look like"),
        ("lora.rank=few", "--search: lora.rank must be values such as 2,4,8"),
        ("lora.rank=64..2", "--search: lora.rank must have a lower end below"),
        ("lora.rank=0..64", "--search: lora: rank must be >= 1, got 0"),
        ("lora.rank=0,8", "--search: lora: rank must be >= 1, got 0"),
        ("lora.dropout=0..1.5", r"--search: lora: dropout must be in \[0, 1\), got 1.5"),
        ("train.warmup_frac=0..1", r"--search: train\.warmup_frac: must be in \[0, 1\), got 1\.0"),
        ("train.lr=1e-3..inf", "must be values such as 2,4,8 or a range of numbers"),
        ("lora.rank=2.5..64", "must be values such as 2,4,8 or a range of numbers"),
        ("lora.placement=qv,everything", "--search: lora: placement must be one of qv, qkv"),
    ],
)
def test_a_wrong_dimension_is_one_sentence(search, sentence):
    with pytest.raises(SpecError, match=sentence):
        build_space(build("lora", {}), Protocol(), [search])


def test_a_search_for_a_method_that_is_not_tuned_is_refused():
    with pytest.raises(
        SpecError, match=r"unknown dimension 'lroa\.rank=2\.\.4' \(did you mean 'lora'\?\)"
    ):
        check_dimensions(["lroa.rank=2..4"], [], [build("lora"), build("linear")], Protocol())


def test_a_dimension_that_is_given_twice_is_refused():
    searches = ["lora.rank=2..64", "lora.rank=4,8"]
    with pytest.raises(SpecError, match=r"--search: must give lora.rank once, got it 2 times"):
        check_dimensions(searches, [], [build("lora")], Protocol())


def test_a_range_on_the_command_line_replaces_the_choices():
    space = {
        dimension.key: dimension
        for dimension in build_space(build("lora", {}), Protocol(), ["lora.rank=2..64"])
    }
    assert (space["method.rank"].low, space["method.rank"].high, space["method.rank"].log) == (
        2,
        64,
        True,
    )


def test_only_the_named_dimensions_are_searched():
    only = ["train.lr", "lora.rank", "vpt_deep.n_prompts"]
    lora = build_space(build("lora", {}), Protocol(), ["train.lr=1e-3,1e-2"], only)
    assert [dimension.asked_as("lora") for dimension in lora] == ["lora.rank", "train.lr"]
    assert lora[1].choices == (1e-3, 1e-2)
    with pytest.raises(SpecError, match=r"--only: linear has no dimension 'lora.rank'"):
        build_space(build("linear", {}), Protocol(), only=["lora.rank"])


# whatever they train is a bias, a norm, a scale or a prompt
UNDECAYED = ["linear", "vpt_shallow", "vpt_deep", "ssf", "difffit", "bitfit", "norm"]


UNDECAYED += ["gps", "spt"]


@pytest.mark.parametrize("name", METHODS)
def test_the_first_trial_of_every_method_is_what_it_runs_with_untuned(name):
    method, protocol = build(name), Protocol()
    values = defaults(build_space(method, protocol))
    own, shared = split_values(values)
    assert build(name, own) == method
    for key, value in shared.items():
        assert override(protocol, f"{key}={value}") == protocol
    assert {"train.decoder_lr", "train.decoder_weight_decay", "train.warmup_frac"} <= shared.keys()
    assert ("train.lr" in shared) == (name != "linear")
    assert ("train.weight_decay" in shared) == (name not in UNDECAYED)


def test_the_ranges_of_both_rates_are_wide_and_hold_the_defaults():
    for preset in PRESETS.values():
        space = {each.key: each for each in build_space(build("lora"), preset.protocol)}
        for key in ("train.lr", "train.decoder_lr"):
            assert space[key].log
            assert space[key].high / space[key].low >= 1000
            assert 2 * space[key].low <= space[key].default <= space[key].high / 2


def test_a_method_on_which_nothing_that_is_searched_has_an_effect_tries_its_default(
    work, make_plan
):
    assert build_space(build("linear"), Protocol(), only=["train.lr"]) == ()
    assert build_space(build("linear"), Protocol(), ["train.lr=1e-4..1e-1"], ["train.lr"]) == ()
    study = work(make_plan(5, space=()), lambda trial, report: end(trial, 0.5))
    assert [trial.params for trial in study.trials] == [{}]


def test_a_search_without_effect_on_any_method_is_refused():
    sentence = r"--search: train.lr has no effect on the methods that are tuned \(did you mean"
    with pytest.raises(SpecError, match=sentence):
        check_dimensions(["train.lr=1e-4..1e-1"], [], [build("linear")], Protocol())
    check_dimensions(["train.lr=1e-4..1e-1"], [], [build("linear"), build("lora")], Protocol())


def test_drop_path_is_searched_only_where_blocks_are_in_training_mode():
    following = override(Protocol(), "model.backbone_mode=train")
    searched = {
        (name, protocol.model.backbone_mode)
        for name in ("full", "lora")
        for protocol in (Protocol(), following)
        if "train.drop_path" in defaults(build_space(build(name), protocol))
    }
    assert searched == {("full", "eval"), ("full", "train"), ("lora", "train")}


def test_a_reference_network_is_searched_over_what_has_an_effect_on_it():
    following = override(Protocol(), "model.backbone_mode=train")
    space = defaults(build_space(lookup.build("net:nnunet"), following))
    assert "train.lr" in space
    assert "train.drop_path" not in space
