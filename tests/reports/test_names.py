"""Display names: one registry for all that has a key, and the names of the user before it."""

import pytest

import datasets
import methods
from bench.models import registry
from bench.models.references import registry as networks
from reports.formats.markdown import format_markdown
from reports.formats.spreadsheet import format_csv
from reports.names import BUILT_IN, Names
from reports.tables.build import ReportRequest, build_tables
from tests.reports.made_results import read_fixture

WEIGHTS = {name for info in registry.BACKBONES.values() for name in info.weights}
KEYS = [*methods.names(), *networks.names(), *datasets.names(), *registry.names(), *WEIGHTS]


@pytest.mark.parametrize("key", sorted(KEYS))
def test_everything_that_ships_has_a_name(key: str) -> None:
    assert BUILT_IN.get(key), "add it to reports/names.py"
    assert "_" not in BUILT_IN[key]


@pytest.mark.parametrize(
    ("label", "own", "shown"),
    [
        ("lora", {}, "LoRA"),
        ("lora[rank=4]", {}, "LoRA [rank 4]"),
        ("med_adapter[a_b=1,c=2]", {}, "Med-Adapter [a b 1, c 2]"),
        ("lora[rank=4]", {"lora": "Low rank", "rank": "r"}, "Low rank [r 4]"),
        ("lora[rank=4]", {"lora[rank=4]": "Ours"}, "Ours"),
        ("mine.module:Own", {}, "mine.module:Own"),
    ],
)
def test_labels(label: str, own: dict[str, str], shown: str) -> None:
    assert Names(own).label(label) == shown


OWN = {
    "lora": "OURS-M", "brats": "OURS-D", "tiny_vit": "OURS-B", "none": "OURS-W", "WT": "OURS-R",
    "dice": "OURS-C", "tuned_m": "OURS-T",
}  # fmt: skip


def test_own_names_are_everywhere_but_in_csv() -> None:
    tables = build_tables(
        read_fixture(), ReportRequest(kind="all", names=Names(OWN)), per_dataset=False
    )
    shown = "\n".join(map(format_markdown, tables))
    for name in OWN.values():
        assert name in shown
    visible = shown.split("<!--")[0]
    for word in ("LoRA", "BraTS", "Tiny ViT", "random init", "| WT", "brats", "lora"):
        assert word not in visible
    csv = "\n".join(map(format_csv, tables))
    assert "lora[rank=4]," in csv
    assert "brats:dice/WT" in csv
    assert "OURS" not in csv.replace("OURS-D: 3 of 4 runs", "")


def test_captions_have_names_instead_of_keys() -> None:
    tables = build_tables(read_fixture(), ReportRequest(kind="all"), per_dataset=False)
    sentences = " ".join(text for table in tables for text in (*table.caption, *table.notes))
    for told in ("vpt_deep needs role 'prompt'", "brtinoall", "kitinoall"):  # as a run said it
        sentences = sentences.replace(told, "")
    for key in ("vpt_deep", "med_adapter", "tiny_vit", "brats", "kits"):
        assert key not in sentences
