"""Settings whose networks would not fit into any memory are refused before they are built."""

import pytest

import methods
from bench.models.backbones.info import Blueprint
from bench.models.feasibility import Outline, check_fit

SLIPS = {
    "adaptformer": {"bottleneck": 1_000_000_000},
    "vpt_deep": {"n_prompts": 100_000_000},
    "fact_tk": {"rank": 100_000},
    "conv_lora": {"n_experts": 1_000_000},
    "dka": {"kernel": 1_000_001},
    "peft:lora": {"r": 1_000_000},
}
WHAT = r"must train at most 10 times the 1,\d+,\d+ parameters of tiny_vit, got [\d,]+ \(a slip in a"


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_in_a_number_is_refused_with_the_size(name):
    outline = Outline(Blueprint("tiny_vit"), (8, 32, 32), 1)
    with pytest.raises(ValueError, match=f"^{name}: {WHAT}"):
        check_fit(methods.build(name, SLIPS[name]), outline)


@pytest.mark.parametrize("name", methods.names())
def test_every_method_fits_with_its_defaults(name):
    check_fit(methods.build(name), Outline(Blueprint("tiny_swin"), (8, 64, 64), 1))
