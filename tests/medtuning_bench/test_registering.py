"""What is registered: methods, data sets and backbones of files outside the repository."""

import json

import pytest

import medtuning_bench as mb
from bench.models.backbones.info import BackboneInfo
from bench.models.build import build_random
from medtuning_bench.registering import BACKBONE, DATASET, METHOD, OWN, find_own

FILE = """
from dataclasses import dataclass, replace

from bench.models.backbones.info import BackboneInfo
from methods.reference.linear import Linear

TINY = BackboneInfo("mine", "My ViT", "my paper", 8, "own_parts:build")


@dataclass(frozen=True)
class Mine(Linear):
    info = replace(Linear.info, name="my_method")


def build(info, in_channels, image_size):
    from bench.models.backbones.vit import build_vit
    return build_vit(replace(info, name="tiny_vit"), in_channels, image_size)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_parts.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    for kind in OWN:
        monkeypatch.setitem(OWN, kind, {})
    return tmp_path


def test_names_stand_for_places(own):
    import own_parts

    assert mb.register(own_parts.Mine) == "my_method"
    assert mb.register("own_parts:Mine", name="again") == "again"
    assert find_own(METHOD, "lora[rank=4,8],my_method[blocks=all],again") == (
        "lora[rank=4,8],own_parts:Mine[blocks=all],own_parts:Mine"
    )
    assert mb.register("own_parts:TINY") == "mine"
    assert find_own(BACKBONE, "mine") == "own_parts:TINY"
    datalist = {"name": "knees", "modality": "MRI", "channels": ["t1"], "training": []}
    (own / "knees.json").write_text(json.dumps(datalist))
    with pytest.raises(ValueError, match="datalist"):
        mb.register(own / "knees.json")
    assert OWN[DATASET] == {}


def test_an_own_backbone_is_built(own):
    from bench.models import registry

    info = registry.get("own_parts:TINY")
    assert (info.name, info.multiple_of) == ("own_parts:TINY", 8)
    assert sum(each.numel() for each in build_random(info.name, 4, (32, 32), "none").parameters())


@pytest.mark.parametrize(
    ("thing", "sentence"),
    [
        ("own_parts", "must look like package.module:NAME, got 'own_parts'"),
        ("absent_parts:Mine", "there is no module 'absent_parts'"),
        ("own_parts:build", "must be a subclass of Method, a BackboneInfo, or a datalist"),
        (type("Cell", (), {"__module__": "__main__"}), "Cell must be importable, got one of __mai"),
    ],
)
def test_bad_input_is_one_sentence(own, thing, sentence):
    with pytest.raises(ValueError, match=sentence):
        mb.register(thing)


def test_a_backbone_that_is_none_is_named(own):
    from bench.models import registry

    with pytest.raises(ValueError, match="backbone 'own_parts:Mine': must be a BackboneInfo"):
        registry.get("own_parts:Mine")
    with pytest.raises(ValueError, match="there is no module 'absent_parts'"):
        registry.get("absent_parts:TINY")
    assert isinstance(registry.get("tiny_vit"), BackboneInfo)
