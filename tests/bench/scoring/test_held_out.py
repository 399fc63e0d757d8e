"""When a held-out case counts as done."""

from bench.scoring.held_out import OVERLAY_FILE, score_held_out
from tests.bench.scoring.test_cases import SCORING, make_case


def test_a_case_is_done_with_its_picture(tmp_path):
    """Forecasts take the first case, which has a picture, apart from the others."""
    cases = [make_case(name, (4, 8, 8), seed) for seed, name in enumerate("ab")]
    heard = []

    def on_case(done, total):
        heard.append((done, total, (tmp_path / OVERLAY_FILE).is_file()))

    score_held_out(lambda image: image[0].astype("uint8"), cases, SCORING, tmp_path, "", on_case)
    assert heard == [(1, 2, True), (2, 2, True)]
