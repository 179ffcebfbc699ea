"""Whole vehicles with a plate, cut out, to be put into any scene: what a detector of plates is trained on.

A cut-out is (448, 512, 4) uint8 RGBA with the plate's corners in it, CCPD's order. Beside the renderer's plate designs
there are ones of no country, and two-line plates are more frequent than on roads: a detector should know a plate by
what plates share.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from data.synthetic import registrations
from data.synthetic.backgrounds import colour, texture
from data.synthetic.canvas import Canvas, Face, Pen, smooth, vary
from data.synthetic.car import PAINTS
from data.synthetic.lettering import BROAD, FIXED, NARROW, ROADGEEK, draw_text, random_line
from data.synthetic.plates import BLACK, DESIGNS, DRAWN_SHARE, WHITE, chinese_two_lines, european_two_lines
from data.synthetic.registrations import FREE_RULES
from data.synthetic.scene import photograph, place

# (height, width)
SIZE = (448, 512)
PLATE_PX = (95, 175)
# shares of the designs
NO_COUNTRY, TWO_LINES = 0.22, 0.14


@dataclass(frozen=True)
class CutOut:
    """A vehicle: pixels (H, W, 4) uint8, the fourth its opacity; corners (4, 2) of its plate; whether this has two
    lines."""

    pixels: np.ndarray
    corners: np.ndarray
    two_lines: bool


def draw_vehicle(rng: np.random.Generator) -> CutOut:
    width_px = np.exp(rng.uniform(*np.log(PLATE_PX)))
    face = draw_some_face(rng, width_px)
    # most plates take the room that their cars have for them
    mm_wide = 520 * rng.uniform(0.85, 1.1)
    corners = place(rng, SIZE, width_px, face.ink.shape[1] / face.ink.shape[0])
    middle = np.array(SIZE[::-1]) * (0.5 + rng.normal(0, 0.05), rng.uniform(0.58, 0.75))
    corners += middle - corners.mean(axis=0)
    # the car is drawn to the plate's scale, as if that were `mm_wide`
    height_mm = mm_wide * face.size_mm[1] / face.size_mm[0]
    photo = photograph(rng, replace(face, size_mm=(mm_wide, height_mm)), corners, SIZE)
    half = np.array([mm_wide, height_mm]) / 2
    plate_mm = (np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * half).astype(np.float32)
    opacity = _silhouette(rng, photo, plate_mm, cv2.getPerspectiveTransform(plate_mm, corners.astype(np.float32)))
    return CutOut(np.dstack([photo, opacity]), corners, "/" in face.text)


def _silhouette(rng: np.random.Generator, photo: np.ndarray, plate_mm: np.ndarray, to_photo: np.ndarray) -> np.ndarray:
    """(H, W) uint8: the vehicle's outline; paints its windows, roof and wheels into the photo. Some fill the
    picture."""
    if rng.random() < 0.25:
        return np.full(photo.shape[:2], 255, np.uint8)
    pen, mask = Pen(photo, to_photo), Pen(np.zeros_like(photo), to_photo)
    aside = rng.normal(0, 60) if rng.random() < 0.9 else rng.uniform(-500, 500)
    half, belt, sill = rng.uniform(780, 980), rng.uniform(-520, -330), rng.uniform(130, 320)
    # vans, buses, lorries
    tall = rng.random() < 0.25
    roof = belt - (rng.uniform(600, 1300) if tall else rng.uniform(380, 560))
    taper = rng.uniform(0.9, 1.0) if tall else rng.uniform(0.62, 0.85)
    paint = PAINTS[rng.integers(len(PAINTS))] * rng.uniform(0.5, 1.1)
    cabin = np.array([[half * 0.97, belt + 40], [half * taper, roof + 60], [half * taper * 0.9, roof]])
    shift = np.array([aside, 0])
    cabin = smooth(np.vstack([cabin, cabin[::-1] * [-1, 1]])) + shift
    pen.fill(cabin, paint)
    glass = (cabin - [aside, (belt + roof) / 2]) * [rng.uniform(0.8, 0.93), rng.uniform(0.6, 0.85)] + [
        aside,
        (belt + roof) / 2,
    ]
    panes = texture(rng, photo.shape[:2], (rng.uniform(15, 90),) * 3, colour(rng, 0.1))
    pen.fill_from(glass, panes)
    # writing above or on the windscreen: a bus's line, a taxi's sign
    if rng.random() < 0.3:
        spot = pen.pixels(np.array([[aside, roof + rng.uniform(-60, 200)]]))[0, 0] / 16
        draw_text(rng, photo, random_line(rng), spot, rng.uniform(60, 200) * pen.px_per_mm, colour(rng, 0.7), turn=0)
    for side in (-1, 1):
        wheel = np.array(
            [[half * 0.7, sill - 120], [half * 0.95, sill - 120], [half * 0.95, sill + 180], [half * 0.7, sill + 180]]
        )
        pen.fill(wheel * [side, 1] + [aside, 0], (22, 22, 24))
        mask.fill(wheel * [side, 1] + [aside, 0], (255,) * 3)
    right = np.array([[half * 0.96, belt - 30], [half, belt + 90], [half, sill - 60], [half * 0.94, sill]])
    body = np.vstack([right, right[::-1] * [-1, 1]]) + shift
    for shape in (body, cabin, plate_mm * 1.1):
        mask.fill(shape, (255,) * 3)
    return cv2.blur(mask.photo[..., 0], (3, 3))


def draw_some_face(rng: np.random.Generator, width_px: float) -> Face:
    """A plate by the renderer's designs, or one of no country."""
    kind = rng.random()
    if kind < NO_COUNTRY:
        return _of_no_country(rng, width_px)
    if kind < NO_COUNTRY + TWO_LINES:
        width_mm, design = ((440, chinese_two_lines), (280, european_two_lines))[rng.integers(2)]
    else:
        shares = np.array([share for share, _, _ in DESIGNS])
        _, width_mm, design = DESIGNS[rng.choice(len(DESIGNS), p=shares / shares.sum())]
    return design(rng, DRAWN_SHARE * width_px / width_mm, FREE_RULES)


def _of_no_country(rng: np.random.Generator, width_px: float) -> Face:
    """Any colours, border, band, font and proportions; four to nine characters in one line or two."""
    two_lines = rng.random() < 0.3
    width = 440.0
    height = width / (rng.uniform(1.05, 2.0) if two_lines else rng.uniform(1.9, 5.2))
    scale = DRAWN_SHARE * width_px / width
    pairs = (
        (WHITE, BLACK),
        (BLACK, WHITE),
        ((0.95, 0.75, 0.1), BLACK),
        ((0.1, 0.25, 0.6), WHITE),
        (WHITE, (0.6, 0.1, 0.1)),
    )
    back, ink = pairs[rng.integers(len(pairs))]
    if rng.random() < 0.3:
        back = tuple(rng.uniform(0.03, 0.97, 3))
        ink = BLACK if np.mean(back) > 0.45 else WHITE
    back, ink = vary(rng, back), vary(rng, ink)
    canvas = Canvas(width, height, scale, back)
    left, right = 6.0, width - 6
    if rng.random() < 0.3:
        band = rng.uniform(25, 60)
        canvas.rectangle(0, 0, band, height, vary(rng, tuple(rng.uniform(0, 0.9, 3))))
        left = band + 4
    if rng.random() < 0.6:
        canvas.border(rng.uniform(1, 6), rng.uniform(1, 5), 8, ink)
    font = str(rng.choice([*ROADGEEK, *NARROW, *BROAD, *FIXED]))
    lines = [_characters(rng, two_lines) for _ in range(2 if two_lines else 1)]
    rim = height * rng.uniform(0.08, 0.24)
    room = (height - 2 * rim) / len(lines)
    for index, groups in enumerate(lines):
        deep = room * (0.85 if two_lines else 1)
        canvas.line(rng, groups, font, (left, right), (rim + index * room, deep), ink)
    if rng.random() < 0.2:
        canvas.small_print(str(rng.choice(registrations.STATES)), width / 2, rim * 0.2, rim * 0.6, ink)
    return canvas.face("/".join("".join(line) for line in lines), "??")


def _characters(rng: np.random.Generator, two_lines: bool) -> list[str]:
    count = int(rng.integers(2, 6) if two_lines else rng.integers(4, 10))
    text = "".join(
        registrations.pick(rng, registrations.DIGITS if rng.random() < 0.55 else registrations.LETTERS, 1)
        for _ in range(count)
    )
    cut = sorted(rng.integers(1, count, rng.integers(0, 3)).tolist())
    return [part for part in (text[a:b] for a, b in zip([0, *cut], [*cut, count], strict=True)) if part]
