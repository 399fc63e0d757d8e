"""Pre-training on formulas, and the weights that it has left in the package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bench.cli.app import main
from bench.models.build import build_backbone, check_weights
from bench.models.weights import catalogue, sources
from bench.pretrain import train
from bench.pretrain.contours import render_contours
from bench.pretrain.recipe import PRETEXTS, Recipe
from bench.pretrain.scenes import CORE, MIDDLE, PLAIN, SHELL, render_scenes
from bench.pretrain.train import pretrain
from bench.specs.run import EMBEDDED_WEIGHTS
from datasets.phantoms import write

SMALL = {"steps": 3, "batch": 2}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_scenes_are_z_scored_and_follow_their_seed() -> None:
    first, same, other = (render_scenes(seeded(seed), 4, 64) for seed in (0, 0, 1))
    assert all(torch.equal(value, vars(same)[name]) for name, value in vars(first).items())
    assert not torch.equal(first.image, other.image)
    assert first.image.shape == (4, 3, 64, 64)
    torch.testing.assert_close(
        first.image.mean(dim=(2, 3)), torch.zeros(4, 3), rtol=0, atol=1e-5
    )  # float32 rounding
    torch.testing.assert_close(first.image.std(dim=(2, 3)), torch.ones(4, 3))


def test_layers_of_a_nested_object_lie_inside_each_other() -> None:
    scenes = render_scenes(seeded(0), 16, 64)
    assert set(scenes.part.unique().tolist()) == {0, PLAIN, SHELL, MIDDLE, CORE}
    assert torch.equal(scenes.part > 0, scenes.shape > 0)
    assert scenes.offset[:, 2][scenes.part == 0].eq(0).all()
    plain = render_scenes(seeded(0), 16, 64, nested=False)
    assert set(plain.part.unique().tolist()) == {0, PLAIN}


def test_contours_of_a_family_differ_and_families_are_fixed() -> None:
    image, family = render_contours(seeded(0), 8, 32)
    again, same = render_contours(seeded(0), 8, 32)
    assert torch.equal(image, again)
    assert torch.equal(family, same)
    assert image.shape == (8, 3, 32, 32)
    assert len(family.unique()) > 1


@pytest.mark.parametrize("pretext", PRETEXTS)
def test_every_pretext_trains_the_whole_backbone_and_repeats(pretext: str) -> None:
    state = torch.get_rng_state()
    heard: list[float] = []
    first, same, other = (
        pretrain(
            Recipe(pretext=pretext, seed=seed, **SMALL), lambda done, loss: heard.append(loss)
        ).state_dict()
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["patch_embed.proj.weight"], other["patch_embed.proj.weight"])
    assert heard[:3] == heard[3:6] != heard[6:]
    start = pretrain_start(seed=0)
    assert [name for name in first if torch.equal(first[name], start[name])] == []


def pretrain_start(seed: int) -> dict[str, torch.Tensor]:
    """Return a backbone after one step of (almost) no length."""
    return pretrain(Recipe(seed=seed, steps=1, batch=1, lr=1e-30)).state_dict()


def test_embedded_weights_are_small_described_and_loaded() -> None:
    file = sources.find_embedded(EMBEDDED_WEIGHTS)
    assert file.stat().st_size <= 3 * 10**6
    card = json.loads(file.with_suffix(".json").read_text())
    assert Recipe(**card["recipe"]) == Recipe()  # `bench pretrain` without options makes them
    assert {card["recipe"]["backbone"]: EMBEDDED_WEIGHTS} == catalogue.EMBEDDED
    backbone = build_backbone("tiny_vit", 4, (64, 64), EMBEDDED_WEIGHTS)
    assert backbone.loaded is not None
    assert (backbone.loaded.sha256, backbone.loaded.missing, backbone.loaded.unused) == (
        card["sha256"],
        (),
        (),
    )
    assert torch.equal(backbone.norm.weight, load_file(file)["norm.weight"].float())
    assert backbone.norm.weight.dtype == torch.float32
    assert check_weights("tiny_vit", EMBEDDED_WEIGHTS, (64, 64)) == card["sha256"]


def test_damaged_embedded_weights_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(sources.FOLDER, tmp_path / "embedded")
    monkeypatch.setattr(sources, "FOLDER", tmp_path / "embedded")
    file = tmp_path / "embedded" / "formula-vit.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    monkeypatch.setattr(
        write, "draw_patient", lambda *_: pytest.fail("weights are looked at before data are made")
    )
    assert main(["run", "--methods", "linear", "--out", str(tmp_path / "out")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "weights: the embedded 'formula-vit' must have the SHA-256" in said
    assert "Traceback" not in said
    file.unlink()
    with pytest.raises(
        ValueError,
        match=r"weights: the embedded 'formula-vit' cannot be read, got FileNotFoundError",
    ):
        sources.find_embedded("formula-vit")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "0"], "pretrain: steps must be >= 1, got 0"),
        (["--seed", "-1"], "pretrain: seed must be from 0 to 4294967295, got -1"),
        (["--seed", "9" * 30], "pretrain: seed must be from 0 to 4294967295, got 9999"),
        (
            ["--backbone", "vit_b16"],
            "pretrain: backbone must be tiny_vit or tiny_vit4, got vit_b16",
        ),
        (
            ["--pretext", "dnse"],
            "pretrain: pretext must be one of dense, dense-plain, contours, mae, got dnse",
        ),
        (["--out", "weights.pth"], "pretrain: --out must end in .safetensors, got weights.pth"),
    ],
)
def test_bad_requests_are_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pretrain", *arguments]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_place_that_cannot_be_written_is_refused_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train, "pretrain", lambda *_: pytest.fail("it takes half an hour"))
    (tmp_path / "file").touch()
    (tmp_path / "card.json").mkdir()
    for name in ("file/made.safetensors", "card.safetensors"):
        assert main(["pretrain", "--out", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err.startswith(f"error: {tmp_path}")


@pytest.mark.slow
def test_the_command_writes_weights_that_a_backbone_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "made.safetensors"
    assert main(["pretrain", "--steps", "20", "--batch", "8", "--out", str(file)]) == 0
    card = json.loads(file.with_suffix(".json").read_text())
    assert card["sha256"] in "".join(capsys.readouterr().out.split())
    assert card["recipe"]["steps"] == 20
    assert build_backbone("tiny_vit", 4, (64, 64), str(file)).loaded.sha256 == card["sha256"]
    first = file.read_bytes()
    assert main(["pretrain", "--steps", "20", "--batch", "8", "--out", str(file)]) == 0
    assert file.read_bytes() == first
