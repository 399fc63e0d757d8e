"""Bad input: one sentence, exit code 2, at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.cli.app import COMMANDS, load_command, main

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "--methods", "lroa"], "unknown method 'lroa' (did you mean 'lora'?)"),
        (["run", "--methods", "lora[rnk=4]"], "lora: unknown setting 'rnk' (did you mean 'rank'?)"),
        (["run", "--methods", "lora[rank=0]"], "lora: rank must be >= 1, got 0"),
        (
            ["run", "--methods", "lora[rank=129]"],
            "lora: rank must be <= 128, the width of block 0, got 129",
        ),
        (
            ["plan", "--methods", "med_adapter[ratio=65]"],
            "med_adapter: ratio must be <= 64, half the width, got 65",
        ),
        (
            ["run", "--set", "data.patch=16,60,64"],
            "tiny_vit: slices must be divisible by 8, got 60x64",
        ),
        (
            ["run", "--backbone", "tiny_swin", "--weights", "none", "--set", "data.patch=4,48,64"],
            "must be divisible by 32, got 48x64",
        ),
        (
            ["run", "--methods", "linear", "--datasets", "brat"],
            "unknown data set 'brat' (did you mean 'brats'?)",
        ),
        (["run", "--preset", "dmo"], "unknown preset 'dmo' (did you mean 'demo'?)"),
        (["run", "--preset", "paper"], "preset 'paper' needs your own data: give --data-root"),
        (
            ["run", "--set", "train.lt=1"],
            "--set: unknown setting 'train.lt' (did you mean 'train.lr'?)",
        ),
        (
            ["run", "--backbone", "tiny_vti"],
            "unknown backbone 'tiny_vti' (did you mean 'tiny_vit'?)",
        ),
        (
            ["run", "--decoder", "upernt"],
            "unknown decoder 'upernt' (did you mean 'upernet'?); available: light, linear,",
        ),
        (
            ["run", "--decoder", "swin_unet"],
            "swin_unet: must decode a Swin Transformer, got 'tiny_vit' (its own decoder is linear)",
        ),
        (
            ["run", "--decoder", "medtuning"],
            "medtuning: needs a backbone with UPerNet or Swin U-Net, got 'tiny_vit' (its own",
        ),
        (
            ["run", "--set", "model.prefix_tokens=none"],
            "model.prefix_tokens: must be keep or drop, got none",
        ),
        (
            ["list", "methods", "--backbone", "tiny_vit", "--prefix-tokens", "none"],
            "model.prefix_tokens: must be keep or drop, got 'none'",
        ),
        (["run", "--folds", "3"], "--folds: must be below 3, got '3'"),
        (
            ["run", "--timeout", "8"],
            "--timeout: must be a length of time such as 90s, 30m or 2h, got '8'",
        ),
        (
            ["run", "--checkpoint-minutes", "0"],
            "--checkpoint-minutes: must be a number above 0, got 0",
        ),
        (["tune", "--timeout", "0h"], "--timeout: must be a length of time such as 90s"),
        (["run", "--device", "cuda:99"], "--device: 'cuda:99' is not on this machine"),
        (["plan", "--preset", "demo", "--data-root", "/no/such/folder"], "/no/such/folder"),
        (["plan", "--preset", "demo", "--data-root", "."], "is empty (is it the right folder"),
        (
            ["data", "demo", "--dataset", "ktis", "--out", "x"],
            "unknown data set 'ktis' (did you mean 'kits'?)",
        ),
        (["report"], "report: the tracking store holds no result yet"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments, sentence, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert printed.err.startswith("error: ")
    assert len(printed.err.strip().splitlines()) == 1
    assert "Traceback" not in printed.err
    assert {file.name for file in tmp_path.iterdir()} <= {"mlflow.db", "mlruns"}


def test_an_unknown_option_exits_2(capsys):
    assert main(["run", "--metods", "all"]) == 2
    assert "No such option" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        (["report", "--format", "xml"], ["terminal", "markdown", "latex", "csv", "html"]),
        (["report", "--kind", "mian"], ["main", "efficiency", "ablation", "kshot", "tuning"]),
        (["report", "--spread", "folds"], ["auto", "cases", "runs"]),
        (["list", "models"], ["methods", "datasets", "backbones"]),
    ],
)
def test_a_value_that_is_no_choice_exits_2_and_names_the_choices(
    arguments, choices, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert [choice for choice in choices if f"'{choice}'" not in printed] == []


def write_code(path):
    torch.save({"model": Exploding()}, path)


def write_half(path):
    torch.save({"patch_embed.proj.weight": torch.zeros(128, 3, 8, 8)}, path)
    path.write_bytes(path.read_bytes()[:700])


def write_other(path):
    torch.save(
        {"patch_embed.proj.weight": torch.zeros(128, 3, 8, 8), "norm.weight": torch.zeros(128)},
        path,
    )


class Exploding:
    def __reduce__(self):
        return exit, ()


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (
            write_code,
            "weights: 'file.pth' must hold tensors only, got pickled code, which is never run",
        ),
        (write_half, "weights: 'file.pth' is truncated, damaged or no checkpoint"),
        (
            write_other,
            "weights: 'file.pth' is of another architecture than tiny_vit: it lacks pos_embed,",
        ),
    ],
)
def test_a_bad_file_of_weights_is_refused_before_anything_is_made(
    write, sentence, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "file.pth")
    assert main(["run", "--methods", "linear", "--weights", "file.pth"]) == 2
    printed = capsys.readouterr().err
    assert sentence in printed
    assert len(printed.strip().splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["file.pth"]


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["run"],
        ["check"],
        ["plan"],
        ["report"],
        ["list"],
        ["ui"],
        ["data"],
        ["data", "demo"],
        ["score"],
        ["predict"],
        ["data", "splits"],
    ],
)
def test_every_command_explains_itself(command, capsys):
    assert main([*command, "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("methods", ["lora", "rank", "Hu et al", "qkv"]),
        ("datasets", ["brats", "t1ce", "WT", "lits"]),
        ("backbones", ["tiny_vit"]),
    ],
)
def test_list_shows_the_registries(what, words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["list", what]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in words)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_has_the_first_line_of_each_commands_help(name):
    paragraph = load_command(name).help.partition("\n\n")[0]
    assert COMMANDS[name][1] == " ".join(paragraph.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--methods", "lroa"],
        ["plan", "--methods", "lroa"],
        ["tune", "--methods", "lroa"],
    ],
)
def test_nothing_heavy_is_imported_to_parse(arguments):
    """Loading no heavy library, which can be tested without a stopwatch, keeps the start quick."""
    code = f"""
import sys
from bench.cli.app import main
main({arguments!r})
heavy = {{"torch", "monai", "timm", "mlflow", "pandas", "matplotlib"}}
sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr.splitlines()[-1]


def test_another_distributions_datasets_stays_aside(tmp_path):
    impostor = tmp_path / "datasets"
    impostor.mkdir()
    (impostor / "__init__.py").write_text("raise ImportError('not ours')")
    done = subprocess.run(
        [sys.executable, "-m", "bench", "list", "datasets"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "brats2020" in done.stdout


def test_a_corrupt_case_is_named_before_anything_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "demo", "--out", "brats", "--cases", "5"]) == 0
    broken = sorted(Path("brats").rglob("*_t2.nii.gz"))[2]
    broken.write_bytes(broken.read_bytes()[:-1000])
    capsys.readouterr()
    assert main(["run", "--methods", "linear", "--preset", "demo", "--data-root", "brats"]) == 2
    printed = capsys.readouterr()
    assert f"error: {broken}: " in printed.err
    assert broken.name in printed.err
    assert not Path("results", "runs").exists()
