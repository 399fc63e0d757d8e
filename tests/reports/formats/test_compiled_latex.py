"""The committed LaTeX compiles in one and in two columns, without errors or overfull lines."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.reports.made_results import FIXTURE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("pdflatex") is None, reason="pdflatex is not installed (texlive-latex-extra)"
    ),
]

EXPECTED = FIXTURE.parent / "expected"


@pytest.mark.parametrize("options", ["", "[twocolumn]"])
def test_tables_and_macros_compile(tmp_path: Path, options: str) -> None:
    tables = sorted(file for file in EXPECTED.glob("*.tex") if file.name != "macros.tex")
    assert len(tables) == 9
    inputs = "\n".join(rf"\input{{{file}}}" for file in tables)
    (tmp_path / "paper.tex").write_text(
        rf"""\documentclass{options}{{article}}
\usepackage{{booktabs,siunitx,graphicx}}
\input{{{EXPECTED / "macros.tex"}}}
\begin{{document}}
LoRA reaches \benchTinyVitNoneBratsLoraDiceMean\,\%,
see table~\ref{{tab:main-brats-kits-tiny-vit-none}}.
{inputs}
\end{{document}}
"""
    )
    for _ in range(2):  # the second pass resolves the labels
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "paper.log").read_text(errors="replace")
    assert "Overfull \\hbox" not in log
    assert "undefined" not in log.lower()
    assert (tmp_path / "paper.pdf").stat().st_size > 20_000
