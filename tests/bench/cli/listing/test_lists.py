"""What can be chosen is listed at once, fits into 80 columns, and is up to date."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import methods
from bench.cli.app import load_command, main
from bench.cli.listing.command import TABLES, What
from bench.cli.listing.methods import FILE
from bench.cli.listing.registries import REPORTS
from bench.cli.reporting.options import Kind
from bench.specs.presets import PRESETS
from bench.specs.protocol import override
from bench.specs.settings import list_settings
from docs.generate_lists import COMMAND, SETTINGS, write_methods, write_settings

ROOT = Path(__file__).resolve().parents[4]
SHOWN = {
    "methods": ["lora", "rank=8", "Hu et al.", "net:nnunet"],
    "datasets": ["brats2020", "t1ce", "WT", "lits17"],
    "backbones": ["tiny_vit", "divisible by 8"],
    "decoders": ["upernet", "own decoder of vit_b16"],
    "weights": ["in21k: vit_base_patch16_224.orig_in21k", "licence cc-by-nc-4.0"],
    "presets": ["quick", "train.precision=bf16-mixed"],
    "settings": ["train.lr", "must be > 0; default 0.001; demo 0.005; paper 0.002"],
    "tables": ["noninferiority", "parameters, FLOPs, memory, time"],
}
TIMED = """
import resource, sys
from bench.cli.app import main
code = main(["list", sys.argv[1]])
heavy = {"torch", "monai", "timm", "mlflow", "pandas", "matplotlib", "scipy"} & set(sys.modules)
used = resource.getrusage(resource.RUSAGE_SELF)
sys.stderr.write(f"{code} {used.ru_utime + used.ru_stime} {sorted(heavy)}")
"""


@pytest.mark.parametrize("what", SHOWN)
def test_a_list_fits_into_80_columns(what, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["list", what]) == 0
    printed = capsys.readouterr().out
    assert [words for words in SHOWN[what] if words not in printed] == []
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize("what", ["methods", "datasets", "settings"])
def test_a_list_takes_less_than_a_second_of_cpu(what):
    command = [sys.executable, "-c", TIMED, what]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    code, seconds, heavy = done.stderr.split(" ", 2)
    assert (code, heavy) == ("0", "[]")
    assert float(seconds) < 1


def test_every_list_can_be_asked_for():
    assert get_args(What) == tuple(SHOWN)
    assert set(TABLES) == {*SHOWN, "peft"}
    assert tuple(REPORTS) == get_args(Kind)


def test_what_is_generated_is_up_to_date():
    assert SETTINGS.read_text() == write_settings(), f"run: {COMMAND}"
    assert FILE.read_text() == write_methods(), f"run: {COMMAND}"


def test_a_method_that_is_not_in_the_file_is_listed_all_the_same(tmp_path, monkeypatch, capsys):
    known = json.loads(FILE.read_text())
    del known["lora"]
    (tmp_path / "methods.json").write_text(json.dumps(known))
    monkeypatch.setattr("bench.cli.listing.methods.FILE", tmp_path / "methods.json")
    assert main(["list", "methods"]) == 0
    assert "Hu et al." in capsys.readouterr().out


def test_types_of_peft_are_listed_on_request(capsys):
    assert main(["list", "methods", "--all"]) == 0
    printed = capsys.readouterr().out
    assert "peft:ADALORA" in printed.upper().replace("PEFT", "peft")
    assert "cannot be used: " in printed


@pytest.mark.parametrize("preset", PRESETS)
def test_the_values_of_a_preset_can_be_typed(preset):
    protocol = PRESETS[preset].protocol
    for row in list_settings():
        protocol = override(protocol, f"{row.key}={row.presets[preset]}")
    assert protocol == PRESETS[preset].protocol


def complete(option: str, typed: str) -> list[str]:
    (found,) = [each for each in load_command("run").params if f"--{option}" in each.opts]
    return [each.value for each in found.shell_complete(None, typed)]


def test_a_shell_completes_values():
    assert complete("methods", "linear,lo") == ["linear,lora", "linear,low_rank"]
    assert complete("datasets", "brats202") == [
        f"brats{year}" for year in (2020, 2021, 2023, 2024, 2025)
    ]
    assert complete("set", "train.dec") == [
        "train.decoder_lr=",
        "train.decoder_weight_decay=",
        "train.decay=",
    ]
    assert complete("set", "train.precision=b") == ["train.precision=bf16-mixed"]
    assert complete("precision", "16") == ["16-mixed"]
    assert complete("preset", "") == list(PRESETS)
    assert set(complete("methods", "")) > set(methods.names())
