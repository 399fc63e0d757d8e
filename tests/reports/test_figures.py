"""What a picture must contain; how it looks is judged by eye."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from bench.results import RunResult
from reports.figures import draw_dice_vs_parameters, draw_overlay
from reports.summary import method_tables
from reports.tidy import MEAN

CLASSES = ("background", "necrosis", "oedema", "enhancing")


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_overlay_shows_three_panels_and_every_class(tmp_path: Path) -> None:
    reference = np.zeros((20, 30), dtype=np.uint8)
    reference[:8, 4:12] = 2  # touches the edge
    reference[2:5, 6:9] = 3
    figure = draw_overlay(np.random.default_rng(0).normal(size=(20, 30)), reference, reference, CLASSES, "a title")
    assert [axes.get_title() for axes in figure.axes] == ["image", "reference", "prediction"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*CLASSES[1:], "outline of the reference"]
    assert figure.get_suptitle() == "a title"
    assert {axes.get_ylim() for axes in figure.axes} == {(-0.5, 19.5)}  # H grows upwards
    figure.savefig(tmp_path / "overlay.png", dpi=60)
    assert (tmp_path / "overlay.png").stat().st_size > 5000


def test_overlay_of_nothing(tmp_path: Path) -> None:
    empty = np.zeros((16, 16), dtype=np.uint8)
    draw_overlay(np.zeros((16, 16)), empty, empty, CLASSES, "nothing").savefig(tmp_path / "overlay.png", dpi=60)
    assert (tmp_path / "overlay.png").is_file()


def test_points_are_where_the_table_says(results: list[RunResult]) -> None:
    (table,) = method_tables(results)
    figure = draw_dice_vs_parameters(table)
    points = np.asarray(figure.axes[0].collections[0].get_offsets())
    assert points[:, 1] == pytest.approx(table.rows[f"dice/{MEAN}"].dropna().to_numpy())
    assert points[:, 0] == pytest.approx([100, 2.01, 0.1])  # nothing tuned: at the place of the tick 0
    ticks = dict(zip(figure.axes[0].get_xticks(), figure.axes[0].get_xticklabels(), strict=True))
    assert ticks[0.1].get_text() == "0"
    assert texts(figure) == ["full", "lora[rank=8]", "linear"]  # what has failed has no point
    assert "SYNTHETIC" in figure.axes[0].get_title()


def test_names_of_near_points_do_not_overlap(results: list[RunResult]) -> None:
    lora = results[1]
    assert lora.cost is not None
    crowd = [
        replace(lora, label=f"method_{index}", cost=replace(lora.cost, params_tuned_frac=0.02 * (1 + index / 200)))
        for index in range(5)
    ]
    figure = draw_dice_vs_parameters(method_tables([*crowd, results[0], results[2]])[0])
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 7
    assert not any(one.overlaps(two) for index, one in enumerate(boxes) for two in boxes[:index])


def test_no_finished_method_is_refused(results: list[RunResult]) -> None:
    with pytest.raises(ValueError, match=r"brats on tiny_vit \(none\) must have a finished method, got none"):
        draw_dice_vs_parameters(method_tables(results[3:])[0])
