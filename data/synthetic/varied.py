"""More designs than the benchmark's, for training: more countries, typefaces, colours and things between the groups.

The photos of the benchmark are frozen, so what the designs of `plates` draw cannot change. This module has what real
plates have beyond them: seals, shields and dashes between the groups, plates without a blue band, stickers in the
corners, dark grounds, provinces in more than one face.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from data.synthetic import lettering, plates, registrations
from data.synthetic.canvas import Canvas, Colour, Face, vary
from data.synthetic.plates import BLACK, EU_BLUE, RED, WHITE, YELLOW
from data.synthetic.registrations import Rules

# draws between two groups: (rng, canvas, x of the gap's middle, y of the characters' middle, room in mm)
Mark = Callable[[np.random.Generator, Canvas, float, float, float], None]
COUNTRIES = (
    *plates.EU_COUNTRIES, "SK", "SK", "CZ", "AT", "DK", "NO", "FI", "SI", "HR", "BG", "LT", "LV", "EE", "GR", "IE",
    "CH",
)  # fmt: skip
FACES = (
    *lettering.DIN,
    *lettering.DIN,
    *lettering.SQUARE,
    *lettering.ROADGEEK,
    *lettering.NARROW,
    *lettering.BROAD,
    *lettering.FIXED,
)
BRITISH_FACES = (*lettering.SQUARE, *lettering.DIN, *lettering.ROADGEEK, "BebasNeue-Bold.otf", "NationalPark-Heavy.otf")
AMERICAN_FACES = (
    *lettering.ROUND,
    *lettering.ROUND,
    *lettering.DIN,
    *lettering.NARROW,
    *lettering.ROADGEEK,
    "FjallaOne-Regular.ttf",
)
INKS: tuple[Colour, ...] = ((0.05, 0.1, 0.35), (0.5, 0.05, 0.08), BLACK, (0.05, 0.3, 0.15), (0.12, 0.2, 0.6))
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def hanzi(rng: np.random.Generator) -> tuple[str, int]:
    """Three faces, thinner and bolder: real provinces are drawn in finer strokes than the letters beside them."""
    choices = (
        *((lettering.HANZI, -2), (lettering.HANZI, -3)),
        *((lettering.HANZI_LIGHT, 0), (lettering.HANZI_LIGHT, 1)),
        *((lettering.HANZI_KAI, 0), (lettering.HANZI_KAI, 1)),
    )
    return choices[rng.integers(len(choices))]


# --- Marks between the groups -------------------------------------------------------------------------------


def dash(rng: np.random.Generator, canvas: Canvas, x: float, y: float, room: float) -> None:
    width, height = rng.uniform(0.35, 0.7) * room, rng.uniform(7, 11)
    canvas.rectangle(x - width / 2, y - height / 2, width, height, vary(rng, BLACK))


def dot(rng: np.random.Generator, canvas: Canvas, x: float, y: float, room: float) -> None:
    canvas.disc(x, y, rng.uniform(0.1, 0.18) * room, vary(rng, BLACK))


def seals(rng: np.random.Generator, canvas: Canvas, x: float, y: float, room: float) -> None:
    """One round sticker above another, of the town and of the inspection."""
    radius = min(0.42 * room, 15)
    for place in (y - 1.2 * radius, y + 1.2 * radius):
        canvas.disc(x, place, radius, tuple(rng.uniform(0.15, 0.95, 3)))
        canvas.disc(x, place, radius * rng.uniform(0.4, 0.75), tuple(rng.uniform(0.4, 0.95, 3)))


def shield(rng: np.random.Generator, canvas: Canvas, x: float, y: float, room: float) -> None:
    """A coat of arms: red or blue above, another colour below."""
    width, height = rng.uniform(0.45, 0.7) * room, rng.uniform(16, 28)
    one, other = ((RED, EU_BLUE), (EU_BLUE, RED), (RED, WHITE), (EU_BLUE, YELLOW))[rng.integers(4)]
    canvas.rectangle(x - width / 2, y - height / 2, width, 0.6 * height, vary(rng, one))
    canvas.disc(x, y + 0.1 * height, width / 2, vary(rng, other))


def picture(rng: np.random.Generator, canvas: Canvas, x: float, y: float, room: float) -> None:
    """A fruit, a flag or a state's outline, as a patch of a few colours."""
    for _ in range(int(rng.integers(2, 6))):
        side = rng.uniform(0.1, 0.25) * room
        canvas.disc(x + rng.normal(0, 0.1) * room, y + rng.normal(0, 7), side, tuple(rng.uniform(0.1, 0.95, 3)))


def nothing(rng: np.random.Generator, canvas: Canvas, x: float, y: float, room: float) -> None:
    """A gap."""


def _marked(rng, canvas: Canvas, marks: dict[Mark, float], groups: list[str], font: str, span, row, ink) -> None:
    """The groups in a line, with one kind of mark in the first gap or in all of them."""
    shares = np.array(list(marks.values()))
    mark = list(marks)[rng.choice(len(marks), p=shares / shares.sum())]
    room = rng.uniform(24, 52) if mark is not nothing else rng.uniform(16, 40)
    gaps = canvas.line(rng, groups, font, span, row, ink, gap=room)
    for x in gaps[:1] if rng.random() < 0.6 else gaps:
        # `line` squeezes what does not fit, gaps included
        mark(rng, canvas, x, row[0] + row[1] / 2, 0.75 * room)


# --- Designs ------------------------------------------------------------------------------------------------


def european(rng: np.random.Generator, scale: float, rules: Rules) -> Face:
    """520 x 110 mm: blue band or none, new or years old, black characters or another colour's; rarely on black."""
    country = str(rng.choice(COUNTRIES))
    ground, ink = _european_colours(rng, country)
    canvas = Canvas(520, 110, scale, ground)
    left, right = 8.0, 512.0
    if rng.random() < 0.75:
        plates.blue_band(rng, canvas, country)
        left = 44
    if country in ("FR", "IT", "PT") and rng.random() < 0.8:
        right = 480
        canvas.rectangle(right, 0, 40, 110, (0.85, 0.7, 0.15) if country == "PT" else EU_BLUE)
    if rng.random() < 0.7:
        canvas.border(rng.uniform(1.5, 3), rng.uniform(1.5, 3), 8, ink)
    groups = rules[country](rng)
    height = rng.uniform(66, 80)
    marks = {nothing: 0.35, dash: 0.25, seals: 0.2, shield: 0.12, dot: 0.08}
    row = ((110 - height) / 2 + rng.uniform(-2, 2), height)
    _marked(rng, canvas, marks, groups, str(rng.choice(FACES)), (left, right), row, ink)
    return canvas.face("".join(groups), country)


def _european_colours(rng: np.random.Generator, country: str) -> tuple[Colour, Colour]:
    """Ground and ink."""
    if rng.random() < 0.04:
        return vary(rng, BLACK), vary(rng, (0.9, 0.86, 0.7))
    ground = YELLOW if country == "NL" or rng.random() < 0.04 else WHITE
    # old sheeting goes grey or yellowish
    if ground == WHITE and rng.random() < 0.3:
        ground = tuple(np.array(WHITE) * rng.uniform(0.7, 1) * [1, rng.uniform(0.93, 1), rng.uniform(0.75, 1)])
    coloured = RED if country == "BE" else ((0.05, 0.3, 0.15), (0.05, 0.12, 0.45))[rng.integers(2)]
    return vary(rng, ground), vary(rng, coloured if country == "BE" or rng.random() < 0.05 else BLACK)


def british(rng: np.random.Generator, scale: float, rules: Rules) -> Face:
    """520 x 111 mm: white or yellow, a band of blue or green on some; close-set characters 79 mm high."""
    canvas = Canvas(520, 111, scale, vary(rng, WHITE if rng.random() < 0.5 else (0.97, 0.78, 0.1)))
    left = 8.0
    if rng.random() < 0.35:
        if rng.random() < 0.3:
            canvas.rectangle(0, 0, 40, 111, vary(rng, (0.1, 0.55, 0.25)))
        else:
            plates.blue_band(rng, canvas, str(rng.choice(["GB", "UK"])))
        left = 46
    groups = rules["GB"](rng)
    canvas.line(rng, groups, str(rng.choice(BRITISH_FACES)), (left, 512), (14, 79), vary(rng, BLACK))
    if rng.random() < 0.5:
        canvas.small_print(registrations.dealer(rng), 260, 99, 7, BLACK)
    return canvas.face("".join(groups), "GB")


def american(rng: np.random.Generator, scale: float, rules: Rules) -> Face:
    """12 x 6 inches: one colour or a scene, some light on dark, stickers in the corners, a mark between the groups."""
    canvas = Canvas(305, 152, scale, WHITE)
    dark = rng.random() < 0.12
    ink = vary(rng, (WHITE, YELLOW)[rng.integers(2)] if dark else INKS[rng.integers(len(INKS))])
    head = ink if rng.random() < 0.6 else vary(rng, WHITE if dark else RED)
    if dark:
        canvas.pixels[:] = vary(rng, INKS[rng.integers(len(INKS))])
    else:
        plates.coloured_scene(rng, canvas)
        if rng.random() < 0.25:
            canvas.rectangle(0, 0, 305, rng.uniform(24, 36), vary(rng, INKS[rng.integers(len(INKS))]))
            head = vary(rng, WHITE)
    groups = rules["US"](rng)
    marks = {nothing: 0.5, dot: 0.15, dash: 0.1, picture: 0.25}
    height = rng.uniform(60, 74)
    row = ((152 - height) / 2 + rng.uniform(-3, 5), height)
    # the round faces draw I and 1, O and 0 alike
    plain = not set("IO") & set("".join(groups))
    font = str(rng.choice([face for face in AMERICAN_FACES if plain or face not in lettering.ROUND]))
    _marked(rng, canvas, marks, groups, font, (6, 299), row, ink)
    canvas.small_print(str(rng.choice(registrations.STATES)), 152, rng.uniform(8, 13), rng.uniform(11, 17), head)
    if rng.random() < 0.7:
        canvas.small_print(str(rng.choice(registrations.MOTTOES)), 152, rng.uniform(126, 132), rng.uniform(8, 11), head)
    _stickers(rng, canvas)
    return canvas.face("".join(groups), "US")


def _stickers(rng: np.random.Generator, canvas: Canvas) -> None:
    """Month and year of the registration, in up to four corners."""
    for x, y in ((8, 5), (265, 5), (8, 128), (265, 128)):
        if rng.random() < 0.3:
            canvas.rectangle(x, y, 32, 19, tuple(rng.uniform(0.3, 1.0, 3)))
            text = str(rng.choice(MONTHS)) if rng.random() < 0.5 else f"{rng.integers(100):02d}"
            canvas.small_print(text, x + 16, y + 5, 9, BLACK)


VARIED_DESIGNS: list[plates.Share] = [
    (0.2, 440, plates.chinese("blue", hanzi)),
    (0.1, 480, partial(plates.chinese_new_energy, hanzi=hanzi)),
    (0.03, 440, plates.chinese("yellow", hanzi)),
    (0.015, 440, plates.chinese("white", hanzi)),
    (0.015, 440, plates.chinese("black", hanzi)),
    (0.03, 440, partial(plates.chinese_two_lines, hanzi=hanzi)),
    (0.08, 520, plates.european),
    (0.2, 520, european),
    (0.03, 520, plates.british),
    (0.06, 520, british),
    (0.03, 280, plates.european_two_lines),
    (0.03, 305, plates.american),
    (0.1, 305, american),
    (0.03, 400, plates.brazilian),
    (0.05, 480, plates.plain),
]
