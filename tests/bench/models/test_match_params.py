"""The option --match-params: what it chooses is said, and what it cannot choose is refused."""

import json

import pytest

import datasets
from bench.cli.options import Request
from bench.cli.planning.sizes import match_sizes
from bench.cli.request import read_request
from bench.models.build import build_backbone
from bench.specs.protocol import Protocol, SpecError, override
from bench.specs.run import MethodSpec


def test_capacities_are_chosen_and_said(tmp_path):
    request = Request(methods="lora,med_adapter,bitfit", match_params="30k", out=tmp_path)
    experiment = read_request(request)
    assert [str(spec) for spec in experiment.methods] == [
        "lora[rank=10]",
        "med_adapter[ratio=9]",
        "bitfit",
    ]
    assert experiment.notes == (
        "--match-params 30k: lora: rank=10, 30,720 parameters, +2.4%",
        "--match-params 30k: med_adapter: ratio=9, 30,472 parameters, +1.6%",
        "--match-params 30k: bitfit: no capacity to choose, 8,704 parameters, -71.0%",
    )


def test_a_capacity_that_is_given_is_refused(tmp_path):
    request = Request(methods="lora[rank=4]", match_params="30k", out=tmp_path)
    with pytest.raises(SpecError, match=r"it chooses lora's rank, got 'lora\[rank=4\]'"):
        read_request(request)


def test_sizes_are_those_in_the_network_of_the_data_set(tmp_path):
    whole = {}
    for name, n_channels in (("brats", 4), ("kits", 1)):
        request = Request(methods="full,spt", datasets=name, match_params="30k", out=tmp_path)
        experiment = read_request(request)
        size = experiment.protocol.data.patch[1:]
        backbone = build_backbone("tiny_vit", n_channels, size, "none")
        whole[name] = sum(parameter.numel() for parameter in backbone.parameters())
        full, spt = experiment.notes
        assert f"full: no capacity to choose, {whole[name]:,} parameters" in full
        assert f"spt: share={30_000 / whole[name]:.6g}, 30,000 parameters, +0.0%" in spt
    assert whole["brats"] - whole["kits"] == 3 * 8 * 8 * 128


def test_one_capacity_holds_for_all_data_sets_of_a_grid(tmp_path):
    request = Request(methods="lora,full", datasets="all", match_params="30k", out=tmp_path)
    lora, brats, others = read_request(request).notes
    assert lora == "--match-params 30k: lora: rank=10, 30,720 parameters, +2.4%"
    assert brats.endswith("% in brats2020 (4 channels)")
    assert others.endswith("% in kits19, lits17 (1 channel)")
    request = Request(methods="spt", datasets="brats,kits", match_params="30k", out=tmp_path)
    rule = "--match-params: spt's share must be one value in all data sets, got "
    values = r"0\.\d+ for brats2020 \(4 channels\) and 0\.\d+ for kits19 \(1 channel\)"
    with pytest.raises(SpecError, match=rule + values + r" \(give a command for each\)"):
        read_request(request)


def test_the_form_that_the_weights_need_is_counted(tmp_path):
    """DINOv2's layer scales, which the plain backbone lacks, and dropped class tokens."""
    notes = []
    for chosen in (
        {"weights": "none"},
        {"weights": "dinov2"},
        {"set": ["model.prefix_tokens=drop"]},
    ):
        plain = {"weights": "none"} | chosen
        request = Request(
            methods="full", backbone="vit_s16", match_params="1M", out=tmp_path, **plain
        )
        (note,) = read_request(request).notes
        notes.append(int(note.split(", ")[1].split()[0].replace(",", "")))
    assert notes[1] - notes[0] == 2 * 12 * 384
    assert notes[0] - notes[2] == 2 * 384  # a token and its position


def test_reference_networks_are_left_as_they_are(tmp_path):
    protocol = override(Protocol(), "data.patch=16,36,36")  # divisible by no patch of a ViT
    asked = [MethodSpec("net:nnunet")]
    assert match_sizes(asked, "30k", protocol, {"brats2020": tmp_path}) == (asked, [])


def test_channels_are_those_of_every_release_and_of_descriptions(tmp_path):
    for name, (family, release) in datasets.releases().items():
        expected = {"brats": 4, "kits": 1, "lits": 1}[family]
        assert len(release.channels) == datasets.count_channels(name, tmp_path) == expected
    images = {"image": ["a.nii.gz", "b.nii.gz"], "label": "c.nii.gz"}
    content = {
        "name": "ours",
        "modality": {"0": "t1", "1": "t2"},
        "labels": {"0": "background", "1": "lesion"},
        "training": [images],
    }
    path = tmp_path / "ours.json"
    path.write_text(json.dumps(content))
    assert datasets.count_channels("ours", path) == 2
