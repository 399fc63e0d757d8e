"""Phantom patients that need context: lesions and mimics differ in shape and place, not in tissue.

The mimics fill about twice the lesion's volume, so a classifier of single voxels that finds all of
the lesion errs two times out of three.
"""

from dataclasses import dataclass

import numpy as np

from datasets.phantoms.canvas import Canvas, Tissue, render, vary_radii
from datasets.phantoms.shapes import Point, VoxelGrid, draw_bias, draw_blob, draw_texture, draw_tube


@dataclass(frozen=True)
class Patient:
    """A phantom in canonical orientation."""

    image: np.ndarray  # float32 (C, D, H, W), channels in the data set's order
    classes: np.ndarray  # uint8 (D, H, W), training classes


# Brain: flair, t1ce, t1, t2, in the arbitrary units of a scanner.
AIR, GREY, WHITE, FLUID, OEDEMA, CORE, RIM = range(7)
BRAIN_PALETTE = (
    Tissue((0, 0, 0, 0), 0),
    Tissue((480, 420, 390, 480), 60),
    Tissue((400, 500, 500, 370), 60),
    Tissue((220, 230, 230, 760), 60),
    Tissue((620, 400, 370, 620), 60),
    Tissue((500, 310, 300, 680), 60),
    Tissue((560, 640, 430, 540), 60),
)
NECROSIS, OEDEMA_CLASS, ENHANCING = 1, 2, 3
BRAIN_NOISE = 45.0

# Abdomen: Hounsfield units.
FAT, MUSCLE, ORGAN, LESION = range(1, 5)
KIDNEYS_HU = ((-1000, 0), (-90, 12), (55, 15), (180, 18), (95, 18))  # mean and texture
LIVER_HU = ((-1000, 0), (-90, 12), (60, 15), (160, 14), (70, 14))
KIDNEY_PALETTE = tuple(Tissue((mean,), texture) for mean, texture in KIDNEYS_HU)
LIVER_PALETTE = tuple(Tissue((mean,), texture) for mean, texture in LIVER_HU)
ABDOMEN_NOISE = 14.0


def draw_brain(grid: VoxelGrid, rng: np.random.Generator) -> Patient:
    """Draw a brain with mimics and one nested tumour: oedema, in it a core with a rim."""
    skull = draw_blob(grid, (0, 0, 0), (0.98, 0.92, 0.82), rng, wobble=0.02, tilt=0.05)
    canvas = Canvas(grid, rng, skull < 1)
    fold = draw_texture(grid, 12, rng)
    canvas.paint((fold > 0) & (skull < 0.9), WHITE)
    canvas.paint(draw_texture(grid, 10, rng) > 1.6, FLUID)
    _paint_glioma(canvas)

    def anywhere() -> Point:
        return _draw_within(rng, (0.75, 0.72, 0.62))

    canvas.paint_mimic_blobs(OEDEMA, (0.26, 0.38), 4, anywhere)
    canvas.paint_mimic_blobs(RIM, (0.16, 0.24), 4, anywhere)
    canvas.paint_mimic_blobs(CORE, (0.14, 0.22), 3, anywhere)
    canvas.paint_mimic_tubes(RIM, 0.08, 3, anywhere)
    image = render(canvas, BRAIN_PALETTE, BRAIN_NOISE) * draw_bias(grid, 0.06, rng)
    image = np.maximum(image, 1) * canvas.body  # skull-stripped: 0 outside, never inside
    return Patient(image, canvas.classes)


def _paint_glioma(canvas: Canvas) -> None:
    rng = canvas.rng
    radius = rng.uniform(0.38, 0.48)
    centre = _draw_within(rng, (0.35, 0.4, 0.35))
    canvas.taken.append((centre, 1.15 * radius))
    whole = draw_blob(canvas.grid, centre, vary_radii(radius, rng), rng, wobble=0.15)
    shifted = np.add(centre, rng.uniform(-0.12, 0.12, size=3) * radius)
    core_radius = radius * rng.uniform(0.62, 0.7)
    core = draw_blob(canvas.grid, _as_point(shifted), vary_radii(core_radius, rng), rng, wobble=0.1)
    canvas.paint(whole < 1, OEDEMA, OEDEMA_CLASS)
    canvas.paint(core < 1, RIM, ENHANCING)
    canvas.paint(core < rng.uniform(0.56, 0.64), CORE, NECROSIS)


def draw_kidneys(grid: VoxelGrid, rng: np.random.Generator) -> Patient:
    """Draw an abdomen with two kidneys at the back, one with a tumour, behind similar blobs."""
    canvas = _draw_abdomen(grid, rng)
    sick = int(rng.integers(2))
    for side in (0, 1):
        x = (-1) ** side * rng.uniform(0.4, 0.46)
        centre = (rng.uniform(-0.15, 0.15), rng.uniform(-0.38, -0.28), x)
        radii = (rng.uniform(0.55, 0.65), rng.uniform(0.22, 0.26), rng.uniform(0.2, 0.24))
        kidney = draw_blob(grid, centre, radii, rng, wobble=0.06, tilt=0.15)
        for shift in (-0.7, 0, 0.7):
            canvas.taken.append(((centre[0] + shift * radii[0], *centre[1:]), 0.28))
        canvas.paint(kidney < 1, ORGAN, 1)
        hilum = (centre[0], centre[1], centre[2] * 0.72)  # the notch on the inner side
        canvas.paint(draw_blob(grid, hilum, (0.2, 0.07, 0.09), rng) < 1, FAT)
        if side == sick:
            _paint_renal_tumour(canvas, centre, radii)

    def in_front() -> Point:
        d, h, w = _draw_within(rng, (0.85, 0.55, 0.7))
        return d, h + 0.15, w

    canvas.paint_mimic_blobs(ORGAN, (0.2, 0.3), 6, in_front)
    canvas.paint_mimic_blobs(LESION, (0.16, 0.24), 6, in_front)
    canvas.paint_mimic_tubes(ORGAN, 0.09, 2, in_front)
    return Patient(render(canvas, KIDNEY_PALETTE, ABDOMEN_NOISE), canvas.classes)


def _paint_renal_tumour(canvas: Canvas, kidney: Point, radii: Point) -> None:
    rng = canvas.rng
    # Up or down, to the front and outwards: away from the wall and the notch.
    direction = np.abs(rng.normal(size=3)) * (rng.choice((-1, 1)), 1, 0.5 * np.sign(kidney[2]))
    direction /= np.linalg.norm(direction)
    centre = _as_point(np.add(kidney, direction * np.array(radii) * 0.8))
    radius = rng.uniform(0.22, 0.28)
    canvas.taken.append((centre, 1.1 * radius))
    level = draw_blob(canvas.grid, centre, vary_radii(radius, rng, 0.08), rng, wobble=0.08)
    canvas.paint(level < 1, LESION, 2)


def draw_liver(grid: VoxelGrid, rng: np.random.Generator) -> Patient:
    """Draw an abdomen whose liver has round lesions and similar vessels, beside similar organs.

    In a slice a vessel is as round as a lesion; there is liver tissue between the two.
    """
    canvas = _draw_abdomen(grid, rng)
    centre = (rng.uniform(-0.1, 0.1), rng.uniform(-0.05, 0.1), rng.uniform(0.3, 0.38))
    liver = draw_blob(grid, centre, (0.8, 0.5, 0.44), rng, wobble=0.12, tilt=0.2)
    canvas.paint(liver < 1, ORGAN, 1)

    def in_liver() -> Point:
        return _as_point(np.add(centre, _draw_within(rng, (0.55, 0.32, 0.27))))

    def on_the_left() -> Point:
        d, h, w = _draw_within(rng, (0.85, 0.55, 0.35))
        return d, h, w - 0.45

    canvas.paint_mimic_tubes(LESION, 0.09, 7, in_liver, label=1)
    for radius in [rng.uniform(0.22, 0.27), *rng.uniform(0.17, 0.22, size=rng.integers(1, 4))]:
        place = canvas.claim(1.2 * radius, in_liver)
        if place is not None:
            lesion = draw_blob(grid, place, vary_radii(radius, rng, 0.1), rng, wobble=0.08)
            canvas.paint((lesion < 1.25) & (canvas.classes == 1), ORGAN, 1)
            canvas.paint((lesion < 1) & (canvas.classes > 0), LESION, 2)
    canvas.paint_mimic_blobs(ORGAN, (0.22, 0.32), 5, on_the_left)
    canvas.paint_mimic_blobs(LESION, (0.18, 0.25), 6, on_the_left)
    return Patient(render(canvas, LIVER_PALETTE, ABDOMEN_NOISE), canvas.classes)


def _draw_abdomen(grid: VoxelGrid, rng: np.random.Generator) -> Canvas:
    """Return a body of fat in a wall of muscle, with air around it and a spine."""
    _, h, w = grid.axes
    outline = np.sqrt((h / rng.uniform(0.76, 0.84)) ** 2 + (w / rng.uniform(0.92, 0.98)) ** 2)
    outline = np.broadcast_to(outline, grid.shape)
    canvas = Canvas(grid, rng, outline < 1)
    canvas.paint((outline > 0.86) & (outline < 0.95), MUSCLE)
    canvas.body = outline <= 0.86  # later strokes stay out of the wall
    canvas.paint(draw_tube(grid, (0, -0.5, 0), 0, 0.13, rng) < 1, MUSCLE)
    canvas.taken.append(((0, -0.5, 0), 0.15))
    return canvas


def _draw_within(rng: np.random.Generator, radii: Point) -> Point:
    """Return a point drawn evenly from an ellipsoid about the middle of the volume."""
    direction = rng.normal(size=3)
    direction *= rng.uniform() ** (1 / 3) / np.linalg.norm(direction)
    return _as_point(direction * radii)


def _as_point(values: np.ndarray) -> Point:
    d, h, w = values.tolist()
    return d, h, w


DRAWERS = {"brats": draw_brain, "kits": draw_kidneys, "lits": draw_liver}
