"""The paper's protocol from the command line, on phantoms, in a small size."""

import json
import shlex
import tomllib
from pathlib import Path

import pytest

from bench.cli.app import main
from datasets.phantoms.write import write_phantoms

pytestmark = pytest.mark.slow
SMALL = "--set data.patch=16,64,64 --set data.patches_per_epoch=8 --set train.accumulate=2"
PAPER = "--preset paper --backbone swin_t_unet --weights none --epochs 1 --max-steps 1 --device cpu"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "brats2020"
    write_phantoms("brats2020", folder, 5, shape=(16, 64, 64))
    return folder


def bench(command: str) -> None:
    assert main(shlex.split(command)) == 0


def test_the_papers_protocol_runs_and_its_caption_names_it(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bench(f"run --methods full --datasets brats2020 --data-root {root} {PAPER} {SMALL}")
    capsys.readouterr()
    bench("report --format markdown")
    said = capsys.readouterr().out.replace("\\", "")
    for words in (
        "soft Dice of the foreground classes alone",
        "2 accumulated batches of 2 patches",
        "weights of the last epoch, without selection",
        "decoder included: Full fine-tuning 1e-4",
        "HD95: the 95th percentile of the distances of both directions together",
        "blended with equal weights",
    ):
        assert words in said
    (file,) = Path("results/runs").glob("*/result.json")
    result = json.loads(file.read_text())
    assert result["empty_policy"] == "medtuning"
    assert result["protocol"]["train"]["method_lr"] == "full=1e-4"
    peak = result["provenance"]["spec"]["protocol"]["train"]["lr"]
    assert peak == 2e-3 > 1e-4 >= result["curve"][0]["learning_rate"]  # the method's own rate


def test_a_search_that_ends_at_its_edge_is_marked(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    short = "--preset demo --epochs 1 --set data.patches_per_epoch=2 --set train.decoder_lr=1e-3"
    short += " --set data.patch=16,64,64 --device cpu"
    where = f"--methods linear --datasets brats2020 --data-root {root} {short}"
    search = "--only train.decoder_lr --search train.decoder_lr=1e-3,1e-2 --trials 2"
    bench(f"tune {where} {search} --export-tuned tuned.toml")
    said = " ".join(capsys.readouterr().out.split())
    assert "end of 0.001,0.01; a better value may be outside (--search with a wider range" in said
    assert "(edge)" in said
    (tuned,) = tomllib.loads(Path("tuned.toml").read_text())["tuned"]
    assert tuned["edges"] == ["train.decoder_lr"]
    bench(f"run {where} --settings tuned.toml")
    capsys.readouterr()
    bench("report --format markdown")
    said = capsys.readouterr().out.replace("\\", "")
    assert "so a better value may be outside: Linear probing train.decoder_lr." in said
