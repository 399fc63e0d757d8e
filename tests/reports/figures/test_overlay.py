"""What the picture of a run must contain; how it looks is judged by eye."""

from pathlib import Path

import numpy as np

from reports.figures.overlay import draw_overlay

CLASSES = ("background", "necrosis", "oedema", "enhancing")


def test_overlay_shows_three_panels_and_every_class(tmp_path: Path) -> None:
    reference = np.zeros((20, 30), dtype=np.uint8)
    reference[:8, 4:12] = 2  # touches the edge
    reference[2:5, 6:9] = 3
    figure = draw_overlay(
        np.random.default_rng(0).normal(size=(20, 30)), reference, reference, CLASSES, "a title"
    )
    assert [axes.get_title() for axes in figure.axes] == ["image", "reference", "prediction"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *CLASSES[1:],
        "outline of the reference",
    ]
    assert figure.get_suptitle() == "a title"
    assert {axes.get_ylim() for axes in figure.axes} == {(-0.5, 19.5)}  # H grows upwards
    figure.savefig(tmp_path / "overlay.png", dpi=60)
    assert (tmp_path / "overlay.png").stat().st_size > 5000


def test_overlay_of_nothing(tmp_path: Path) -> None:
    empty = np.zeros((16, 16), dtype=np.uint8)
    draw_overlay(np.zeros((16, 16)), empty, empty, CLASSES, "nothing").savefig(
        tmp_path / "overlay.png", dpi=60
    )
    assert (tmp_path / "overlay.png").is_file()
