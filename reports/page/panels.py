"""Small images of cases, which the browser lays over each other: the slice, and tinted regions.

They take a bounded part of the page. Of many cases the best, the median and the worst come first,
then the others from the lowest Dice upwards.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from reports.analysis.comparison import MethodComparison
from reports.figures.panels import REGION_COLOURS, CaseDrawing, ShownCase, pick_cases
from reports.figures.qualitative import ReadSlices, find_run
from reports.figures.style import COLUMN_IN

MOST_CASES = 150  # on a page; their slices must be read
MOST_CHARACTERS = 3_000_000  # of all images of a page
OPACITY = 120  # of a tint, of 255
OUTLINE = (255, 255, 255)
JPEG_QUALITY = 80


@dataclass(frozen=True)
class CasePanels:
    """The images of a case on one slice, as addresses of their own contents."""

    image: str
    reference: str  # tinted regions
    outline: str  # white, of the reference
    predictions: Mapping[str, str]  # by label
    width: int  # in pixels, as `height`
    height: int
    layers: tuple[tuple[str, str], ...]  # name and colour of each region

    @property
    def size(self) -> int:
        """The number of characters."""
        addresses = (self.image, self.reference, self.outline, *self.predictions.values())
        return sum(map(len, addresses))


Found = dict[tuple[str, str], CasePanels]  # by the title of a setting and the case


def collect_panels(comparisons: Sequence[MethodComparison], read_slices: ReadSlices) -> Found:
    """Return the images of as many cases as there is room for, equally for each setting."""
    found: Found = {}
    shown = [each for each in comparisons if not each.mixed and not each.scores.empty]
    for comparison in shown:
        cases_left = MOST_CASES // len(shown)
        characters_left = MOST_CHARACTERS // len(shown)
        for case in _order_cases(comparison):
            panels = _make_panels(comparison, read_slices, case)
            cases_left -= 1
            if panels is not None:
                characters_left -= panels.size
                if characters_left < 0:
                    break
                found[comparison.title, case] = panels
            if cases_left <= 0:
                break
    return found


def _order_cases(comparison: MethodComparison) -> list[str]:
    means = comparison.scores.mean(axis="columns").sort_values(kind="stable")
    first = pick_cases(comparison.scores).values()
    return list(dict.fromkeys([*first, *map(str, means.index)]))


def _make_panels(
    comparison: MethodComparison, read_slices: ReadSlices, case: str
) -> CasePanels | None:
    slices = {}
    of_case = comparison.cases["case"] == case
    for label in comparison.cases.loc[of_case, "method"].unique():
        kept = read_slices(find_run(comparison.results, label, case), case)
        if kept is not None:
            slices[str(label)] = kept
    if not slices:
        return None
    regions = tuple(map(comparison.names.find, comparison.regions))
    drawing = CaseDrawing.of(ShownCase(slices, {}, regions), COLUMN_IN)
    image = _cut(drawing, drawing.image)
    height, width = image.shape
    predictions = {}
    for label, classes in drawing.predictions.items():
        predictions[label] = _encode_map(_number_layers(drawing, classes))
    outline = np.where(_find_border(drawing.reference > 0), len(REGION_COLOURS) + 1, 0)
    layers = []
    for number, name in enumerate(drawing.list_layers()):
        layers.append((name, REGION_COLOURS[number % len(REGION_COLOURS)]))
    return CasePanels(
        image=_encode_image(image),
        reference=_encode_map(_number_layers(drawing, drawing.reference)),
        outline=_encode_map(_cut(drawing, outline)),
        predictions=predictions,
        width=width,
        height=height,
        layers=tuple(layers),
    )


def _cut(drawing: CaseDrawing, pixels: np.ndarray) -> np.ndarray:
    """Return the part of a slice with objects, its front up."""
    return pixels[drawing.window][::-1].astype(np.uint8)


def _number_layers(drawing: CaseDrawing, classes: np.ndarray) -> np.ndarray:
    """Return the number of the last region at each pixel, from 1; inner regions come last."""
    numbers = np.zeros(classes.shape, np.uint8)
    for number, mask in enumerate(drawing.iter_masks(classes)):
        numbers[mask] = number % len(REGION_COLOURS) + 1
    return _cut(drawing, numbers)


def _find_border(mask: np.ndarray) -> np.ndarray:
    """Return the pixels of a mask that have a neighbour outside of it."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _encode_image(image: np.ndarray) -> str:
    from PIL import Image

    stream = BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return _as_address("image/jpeg", stream)


def _encode_map(numbers: np.ndarray) -> str:
    """Return an image whose background, number 0, is transparent."""
    from PIL import Image

    picture = Image.fromarray(numbers, mode="P")
    picture.putpalette(list(_list_palette()))
    stream = BytesIO()
    transparency = bytes([0, *[OPACITY] * len(REGION_COLOURS), 255])
    picture.save(stream, "PNG", transparency=transparency, optimize=True)
    return _as_address("image/png", stream)


def _list_palette() -> Iterator[int]:
    yield from (0, 0, 0)
    for colour in REGION_COLOURS:
        yield from bytes.fromhex(colour.removeprefix("#"))
    yield from OUTLINE


def _as_address(kind: str, stream: BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
