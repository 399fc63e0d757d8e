"""No two methods are the same function, also where they train equally many parameters."""

from collections import defaultdict
from itertools import combinations

import pytest
import torch

import methods
from bench.models.contract import Subject, predict, train

# beside the defaults: settings at which methods train as many as another one
SETTINGS = {
    "adaptformer": {"bottleneck": 48},  # as pfeiffer
    "houlsby": {"bottleneck": 48},
    "adapter_plus": {"bottleneck": 8},
    "lora": {"placement": "qkv", "rank": 4},
    "arena": {"rank": 8},
    "fact_tt": {"rank": 8},
}

# what starts from other weights is another method there alone, where those are not random
NAMES = [name for name in methods.names() if not methods.get(name).info.from_scratch]


def build_all():
    built = [methods.build(name) for name in NAMES]
    return built + [methods.build(name, given) for name, given in SETTINGS.items()]


@pytest.mark.parametrize("backbone", ["tiny_vit", "tiny_swin"])
def test_methods_of_equal_size_train_other_tensors_or_give_other_outputs(backbone):
    groups = defaultdict(list)
    for method in build_all():
        plain = Subject(method, backbone).build_plain().backbone
        groups[method.expected_tuned(plain)].append(method)
    n_compared = 0
    for group in groups.values():
        for first, second in combinations(dict.fromkeys(group), 2):
            found = [behave(Subject(each, backbone)) for each in (first, second)]
            assert found[0][0] != found[1][0] or not torch.equal(found[0][1], found[1][1])
            assert not torch.allclose(found[0][1], found[1][1], rtol=1e-4, atol=1e-5)
            n_compared += 1
    assert n_compared >= 1  # AdaptFormer and Pfeiffer's adapter


def behave(subject):
    """Return names and shapes of what trains, and the output after two steps."""
    model, volume = subject.build_tuned(), subject.make_volume()
    torch.manual_seed(0)
    train(model, volume, 2)
    tuned = model.tuned_parameters()
    return {(name, value.shape) for name, value in tuned.items()}, predict(model, volume)


@pytest.mark.parametrize(
    "backbone", ["tiny_vit", pytest.param("tiny_swin", marks=pytest.mark.slow)]
)
def test_no_two_methods_give_the_same_output_after_two_steps(backbone):
    outputs = {}
    for name in NAMES:
        outputs[name] = behave(Subject(methods.build(name), backbone))[1]
    for first, second in combinations(outputs, 2):
        same = torch.allclose(outputs[first], outputs[second], rtol=1e-4, atol=1e-5)
        assert not same, f"{first} and {second}"
