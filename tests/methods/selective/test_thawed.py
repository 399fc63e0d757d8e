"""What trains of the backbone itself: exactly which parameters, by timm's names, and its effect."""

import pytest
from torch import nn

import methods


def is_norm(pair, name):
    return isinstance(pair.reference.get_submodule(name.rpartition(".")[0]), nn.LayerNorm)


def is_last(pair, name):
    last = "blocks.7." if name.startswith("blocks") else "layers.3.blocks.1."
    return name.startswith((last, "norm."))


RULES = {
    "bitfit": lambda pair, name: name.endswith(".bias"),
    "bitfit[position_bias=true]": lambda pair, name: "bias" in name,
    "norm": is_norm,
    "partial": is_last,
    "full[blocks=first_1]": lambda pair, name: name.startswith(
        ("patch_embed.", "pos_embed", "blocks.0.", "layers.0.blocks.0.")
    ),
    "full[blocks=2-3]": lambda pair, name: name.startswith(("blocks.2.", "blocks.3.", "layers.1.")),
}


@pytest.mark.parametrize("label", RULES)
def test_exactly_what_the_paper_names_trains(label, pair):
    name, _, inner = label.partition("[")
    method = methods.build(name, dict([inner.rstrip("]").split("=")]) if inner else {})
    expected = {each for each, _ in pair.reference.named_parameters() if RULES[label](pair, each)}
    pair.apply(method)
    assert pair.share() == expected
    pair.assert_equal(pair.run(lambda _, block, x: block(x)))


def test_blocks_that_train_follow_training_mode_and_biases_do_not(tuned):
    partial = tuned("tiny_swin", methods.build("partial")).train().backbone
    training = {name for name, module in partial.named_modules() if module.training}
    assert "stages.3.blocks.1.mlp_branch.drop_path" in training
    assert {name for name in training if name and not name.startswith("stages.3.blocks.1")} == set()
    bitfit = tuned("tiny_swin", methods.build("bitfit")).train().backbone
    assert {name for name, module in bitfit.named_modules() if module.training} == {""}
