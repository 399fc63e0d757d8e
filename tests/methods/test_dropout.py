"""Where dropout is: to shrink a unit there is to shrink the column of the layer that reads it."""

import pytest
import torch
from torch import nn

import methods
from bench.models.contract import predict

RATE = 0.123  # of no other dropout in the network
READERS = {  # method -> the tensor whose last axis reads what is dropped
    "adaptformer": "adapter.up.weight",
    "arena": "lora_a",
    "conv_lora": "lora_a",
    "convpass": "adapter.up.weight",
    "dka": "adapter.up.weight",
    "fact_tk": "shared.up.weight",
    "fact_tt": "shared.up.weight",
    "lora": "lora_a",
    "ma_sam": "shared.up.weight",
    "mona": "adapter.up.weight",
    "repadapter": ".up",
    "vpt_deep": "prompts.tokens",
    "vpt_shallow": "prompts.tokens",
}


def test_every_method_with_dropout_is_here():
    fields = {name: methods.get(name).__dataclass_fields__ for name in methods.names()}
    assert {name for name in fields if "dropout" in fields[name]} == READERS.keys()


@pytest.mark.parametrize("name", READERS)
def test_dropped_units_are_those_that_the_paper_names(name, tuned, volume):
    model = tuned("tiny_vit", methods.build(name, {"dropout": RATE}))
    for parameter in model.tuned_parameters().values():
        parameter.data.normal_(std=0.1)
    whole = predict(model, volume)
    named = model.backbone.named_parameters()
    readers = [each for key, each in named if key.endswith(READERS[name])]
    width = readers[0].shape[-1]

    def shrink_first(_module, _inputs, x):
        units = torch.arange(x.shape[-1]) % width  # several matrices may be side by side
        return torch.where(units == 0, 0.5 * x, x)

    modules = [each for each in model.backbone.modules() if isinstance(each, nn.Dropout)]
    places = [each for each in modules if each.p == RATE]
    hooks = [each.register_forward_hook(shrink_first) for each in places]
    dropped = predict(model, volume)
    for hook in hooks:
        hook.remove()
    for reader in readers:
        reader.data[..., 0] *= 0.5
    expected = predict(model, volume)
    assert (expected - whole).abs().max() > 3e-4  # ten times what is allowed below
    torch.testing.assert_close(dropped, expected, rtol=1e-5, atol=3e-5)
