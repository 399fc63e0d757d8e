"""The printed forms of one hand-made table."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from bench.results import RunResult
from reports.latex import format_latex
from reports.markdown import format_markdown
from reports.summary import MethodTable, method_tables
from reports.terminal import build_terminal_table

MARKDOWN = """\
| Method | Dice (%) WT | Dice (%) ET | Dice (%) mean | HD95 (mm) | Tuned M | Tuned % | Time (s) | Note |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| full | **77.0 ± 15.6** | **49.5 ± 7.8** | **63.3 ± 11.7** | 4.0 | 1.220 | 100.00 | 90.2 |  |
| lora\\[rank=8\\] | 70.0 ± 14.1 | 45.0 ± 7.1 | 57.5 ± 10.6 | 4.0 | 0.025 | 2.01 | 61.0 |  |
| linear | 63.0 ± 12.7 | 40.5 ± 6.4 | 51.8 ± 9.5 | 4.0 | 0.000 | 0.00 | 40.0 |  |
| bad\\_one | – | – | – | – | – | – | – | failed |
| vpt\\_deep | – | – | – | – | – | – | – | skipped |
"""

LATEX = r"""
  \label{tab:brats-tiny-vit}
  \begin{tabular}{lrrrrrrrl}
    \toprule
     & \multicolumn{3}{c}{Dice (\%)} &  & \multicolumn{2}{c}{Tuned} &  &  \\
    \cmidrule(lr){2-4} \cmidrule(lr){6-7}
    Method & WT & ET & mean & HD95 (mm) & M & \% & Time (s) & Note \\
    \midrule
    full & \textbf{77.0 $\pm$ 15.6} & \textbf{49.5 $\pm$ 7.8} & \textbf{63.3 $\pm$ 11.7} & 4.0 & 1.220 & 100.00 & 90.2 &  \\
    lora[rank=8] & \underline{70.0 $\pm$ 14.1} & \underline{45.0 $\pm$ 7.1} & \underline{57.5 $\pm$ 10.6} & 4.0 & 0.025 & 2.01 & 61.0 &  \\
    linear & 63.0 $\pm$ 12.7 & 40.5 $\pm$ 6.4 & 51.8 $\pm$ 9.5 & 4.0 & 0.000 & 0.00 & 40.0 &  \\
    bad\_one & -- & -- & -- & -- & -- & -- & -- & failed \\
    vpt\_deep & -- & -- & -- & -- & -- & -- & -- & skipped \\
    \bottomrule
  \end{tabular}
\end{table}
"""  # noqa: E501  a snapshot

TERMINAL = """\
full 77.0±15.6 49.5±7.8 63.3±11.7 4.0 1.220 100.00 90.2
lora[rank=8] 70.0±14.1 45.0±7.1 57.5±10.6 4.0 0.025 2.01 61.0
linear 63.0±12.7 40.5±6.4 51.8±9.5 4.0 0.000 0.00 40.0
bad_one – – – – – – – failed
vpt_deep – – – – – – – skipped"""


def print_terminal(table: MethodTable, width: int = 120) -> str:
    console = Console(width=width, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(build_terminal_table(table))
    return capture.get()


FORMATS = [format_markdown, format_latex, print_terminal]


@pytest.fixture
def table(results: list[RunResult]) -> MethodTable:
    return method_tables(results)[0]


def test_markdown(table: MethodTable) -> None:
    text = format_markdown(table)
    assert MARKDOWN in text
    assert text.startswith("PET methods on brats; backbone tiny\\_vit, weights: none (random initialisation). ")
    assert text.endswith("- vpt\\_deep, fold 0, seed 0: skipped (needs role 'prompt').\n")


def test_latex(table: MethodTable) -> None:
    text = format_latex(table)
    assert text.endswith(LATEX[1:])
    assert text.startswith(
        "% needs \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n  \\caption{PET methods on brats; "
    )
    assert r"bad\_one, fold 0, seed 0: failed (RuntimeError: 100\% $<$memory$>$)." in text


def test_latex_is_balanced_and_ascii(table: MethodTable) -> None:
    body = format_latex(table).partition("\n")[2]
    assert body.isascii()
    bare = re.sub(r"\\[&%$#_{}]", "", body)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not set("%#~^") & set(bare)
    rows = [line for line in bare.splitlines() if line.endswith(r"\\")]
    spans = [sum(int(width) - 1 for width in re.findall(r"\\multicolumn\{(\d+)\}", row)) for row in rows]
    assert {row.count("&") + span for row, span in zip(rows, spans, strict=True)} == {8}


def test_terminal(table: MethodTable) -> None:
    text = print_terminal(table)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    _, _, body = plain.partition("─\n")
    rows = [" ".join(line.split()) for line in body.splitlines()[:5]]
    assert "\n".join(rows) == TERMINAL
    assert "\x1b[1m77.0±15.6\x1b[0m" in text  # best: bold
    assert "\x1b[4m70.0±14.1\x1b[0m" in text  # second: underlined
    assert "needs role 'prompt'" in plain


def test_three_regions_fit_into_80_columns(results: list[RunResult]) -> None:
    full = results[0]
    more = [replace(row, region="TC") for row in full.cases if row.region == "WT"]
    wide = replace(full, label="adaptformer", regions=("WT", "TC", "ET"), cases=(*full.cases, *more))
    lines = print_terminal(method_tables([wide])[0], width=80).splitlines()
    (row,) = [line for line in lines if "adaptformer" in line]
    assert row.split()[1:5] == ["77.0±15.6", "77.0±15.6", "49.5±7.8", "67.8±13.0"]


@pytest.mark.parametrize("show", FORMATS)
def test_every_format_says_synthetic_and_shows_failures(table: MethodTable, show: Callable[[MethodTable], str]) -> None:
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", show(table)).split())
    for words in ("SYNTHETIC", "random initialisation", "failed", "skipped", "abc123"):
        assert words in text


@pytest.mark.parametrize("show", FORMATS)
def test_a_clean_table_has_no_notes(results: list[RunResult], show: Callable[[MethodTable], str]) -> None:
    text = show(method_tables(results[:3])[0])
    assert "Note" not in text
    assert "failed" not in text
