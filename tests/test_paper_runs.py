"""The commands of docs/paper.md, on phantoms and with short runs, leave what the page says."""

import re
import shlex
from pathlib import Path

import pytest

from bench.cli.app import main
from datasets.phantoms.write import write_phantoms
from tests.reports.formats.printed import PACKAGES, compile_tex

pytestmark = pytest.mark.slow

DOCS = Path(__file__).resolve().parents[1] / "docs" / "paper.md"
TEXT = DOCS.read_text().replace("\\\n", " ")
RUNS = re.findall(r"^python -m (bench run .*)$", TEXT, re.MULTILINE)
REPORTS = re.findall(r"\| `python -m (bench report .*?)` \|", TEXT)
RELEASES = ("brats2019", "brats2020", "kits19")
SHORT = (
    "--preset demo --epochs 1 --max-steps 1 --device cpu --set data.patches_per_epoch=1 "
    "--set data.patch=16,64,64 --set data.n_folds=3 --set eval.overlap=0"
)
SMALLER = {  # of a command of the page
    "--preset paper": SHORT,
    "--methods paper --datasets brats2019,brats2020,kits19 --backbone swin_t_unet": (
        "--methods linear --datasets brats2019,brats2020,kits19 --backbone tiny_swin"
    ),
    "--methods paper": "--methods linear,med_adapter",
    "$METHODS": "linear,med_adapter[]",
    "in1k": "none",
    "--shots 5,10": "--shots 2",
}
EXPECTED = {  # what each file must have in it
    "brats.tex": ("BraTS 2019", "BraTS 2020", "Med-Adapter", "Tiny Swin, from scratch", "HD95"),
    "kits19.tex": ("KiTS19", "Med-Adapter", "kidney", "from scratch"),
    "parameters.tex": ("BraTS 2020", "Linear probing", "Total"),
    "pretraining.tex": ("formula images", "random initialisation"),
    "ablation.tex": (r"\checkmark", "Components", "inter-stage"),
    "efficiency.tex": ("GFLOP", "Memory (MiB)"),
    "kshot.tex": ("training cases", "(n = 3)", "Med-Adapter"),
}
PICTURES = ("dice-parameters", "dice-flops", "panels-all", "panels-worst")


def make_smaller(command: str) -> str:
    for theirs, ours in SMALLER.items():
        command = command.replace(theirs, ours)
    return command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the runs of the page leave."""
    folder = tmp_path_factory.mktemp("paper")
    for name in RELEASES:
        write_phantoms(name, folder / name, 9, shape=(16, 64, 64))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in RUNS:
            arguments = shlex.split(make_smaller(command).replace("/data/", f"{folder}/"))
            assert main(arguments[1:]) == 0, command
    return folder


def test_each_command_leaves_its_table_or_pictures(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (len(RUNS), len(REPORTS)) == (6, 8)
    monkeypatch.chdir(folder)
    tables = []
    for command in REPORTS:
        arguments = shlex.split(make_smaller(command))
        assert main(arguments[1:]) == 0, command
        left = folder / arguments[arguments.index("--out") + 1]
        if left.is_dir():
            found = {file.name.partition("-brats2020")[0] for file in left.rglob("*.pdf")}
            assert set(PICTURES) <= found
        else:
            text = left.read_text()
            for words in EXPECTED[left.name]:
                assert words in text, (left.name, words)
            assert "without" not in text, "settings of the ablation have no row elsewhere"
            tables.append(rf"\input{{{left.name}}}\clearpage\input{{{left.stem}-notes.tex}}")
    assert len(tables) == len(EXPECTED)
    start = rf"\documentclass[pmlr]{{jmlr}}{PACKAGES}\begin{{document}}"
    log = compile_tex(folder, "\n".join([start, *tables, r"\end{document}"]))
    assert "Overfull" not in log
