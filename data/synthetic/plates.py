"""The designs of plates: background, border, bands and captions, the characters where each country puts them.

The photos of the benchmark are frozen, so what `DESIGNS` draw cannot change. `VARIED_DESIGNS`, for training, have what
real plates have beyond them: more countries, typefaces and colours; seals, shields and dashes between the groups,
plates without a blue band, stickers in the corners, dark grounds, provinces in more than one face.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from data.ccpd import CHINA
from data.synthetic import registrations
from data.synthetic.canvas import (
    BROAD,
    DIN,
    FIXED,
    HANZI,
    HANZI_KAI,
    HANZI_LIGHT,
    NARROW,
    ROADGEEK,
    ROUND,
    SQUARE,
    Canvas,
    Colour,
    Face,
    between,
    vary,
)
from data.synthetic.registrations import RULES, Rules

# (rng, px per mm, registration numbers by country)
Design = Callable[[np.random.Generator, float, Rules], Face]
# share of the photos, width in mm, design
Share = tuple[float, float, Design]
# chooses the face of Chinese characters, and the steps of weight added to the letters'
Hanzi = Callable[[np.random.Generator], tuple[str, int]]

WHITE, BLACK, RED = (0.93, 0.93, 0.92), (0.07, 0.07, 0.08), (0.7, 0.06, 0.08)
YELLOW = (0.95, 0.75, 0.1)
EU_BLUE: Colour = (0.05, 0.16, 0.55)
EU_COUNTRIES = ("DE", "RO", "PL", "FR", "IT", "ES", "NL", "PT", "SE", "CZ", "HU", "BE")
# faces are drawn a little larger than they appear, so that turning them costs no sharpness
DRAWN_SHARE = 1.15


def draw_face(
    rng: np.random.Generator, width_px: float, rules: Rules = RULES, designs: list[Share] | None = None
) -> Face:
    """A plate of a random design, by their shares, seen `width_px` wide; `rules` for all countries but China. designs:
    None for `DESIGNS`."""
    designs = designs or DESIGNS
    shares = np.array([share for share, _, _ in designs])
    _, width_mm, design = designs[rng.choice(len(designs), p=shares / shares.sum())]
    return design(rng, DRAWN_SHARE * width_px / width_mm, rules)


# --- China (GA 36): 440 x 140 mm, characters 45 x 90 mm ---------------------------------------------------------------

# two ends of the background, characters
CHINESE_COLOURS: dict[str, tuple[Colour, Colour, Colour]] = {
    "blue": ((0.05, 0.17, 0.52), (0.08, 0.33, 0.82), WHITE),
    "yellow": ((0.9, 0.62, 0.06), (0.97, 0.78, 0.15), BLACK),
    "white": ((0.8, 0.8, 0.79), WHITE, BLACK),
    "black": (BLACK, (0.13, 0.13, 0.15), WHITE),
}


def bold_hanzi(_: np.random.Generator) -> tuple[str, int]:
    """The benchmark's: one face, thinned, since its strokes are fatter than those of plates."""
    return HANZI, -2


def chinese(kind: str, hanzi: Hanzi = bold_hanzi) -> Design:
    def draw(rng: np.random.Generator, scale: float, _: Rules) -> Face:
        one, other, ink = CHINESE_COLOURS[kind]
        ink = vary(rng, ink)
        canvas = Canvas(440, 140, scale, between(rng, one, other), hanzi(rng))
        canvas.border(rng.uniform(2.5, 5), rng.uniform(1.5, 3), 8, ink)
        groups = registrations.chinese_police(rng) if kind == "white" else registrations.chinese(rng)
        _chinese_row(rng, canvas, groups, ink, widths=[45] * 7, gap=12, gap_after_second=34)
        canvas.disc(134.5, 70, 5, ink)
        return canvas.face("".join(groups), CHINA)

    return draw


def chinese_new_energy(rng: np.random.Generator, scale: float, _: Rules, hanzi: Hanzi = bold_hanzi) -> Face:
    """480 x 140 mm, characters 43 mm wide but for the province's 45: white running into green on cars, green and yellow
    on lorries and buses, whose serial ends in the letter."""
    canvas = Canvas(480, 140, scale, vary(rng, WHITE), hanzi(rng))
    groups = registrations.chinese_new_energy(rng)
    green = np.array(between(rng, (0.3, 0.7, 0.42), (0.5, 0.92, 0.6)), np.float32)
    if groups[1][-1].isalpha():
        canvas.pixels[:] = green
        canvas.rectangle(0, 0, 135, 140, vary(rng, YELLOW))
    else:
        down = np.linspace(rng.uniform(-0.6, 0.2), rng.uniform(0.8, 1.1), canvas.ink.shape[0], dtype=np.float32)
        canvas.pixels += down.clip(0, 1)[:, None, None] * (green - canvas.pixels)
    ink = vary(rng, BLACK)
    canvas.border(rng.uniform(3, 5), rng.uniform(1.2, 2.5), 8, ink)
    _chinese_row(rng, canvas, groups, ink, widths=[45] + [43] * 7, gap=9, gap_after_second=49)
    canvas.disc(136, 45, rng.uniform(6, 10), vary(rng, RED) if rng.random() < 0.3 else (0.2, 0.55, 0.3))
    return canvas.face("".join(groups), CHINA)


def _chinese_row(
    rng, canvas: Canvas, groups: list[str], ink: Colour, widths: list[float], gap: float, gap_after_second: float
) -> None:
    font = str(rng.choice([*ROADGEEK, *ROADGEEK, "RobotoCondensed-Bold.ttf"]))
    weight, x = int(rng.integers(-1, 3)), 15.5
    for index, (char, width) in enumerate(zip("".join(groups), widths, strict=True)):
        canvas.boxed(font, char, (x, 25, width, 90), vary(rng, RED) if char == "警" else ink, weight)
        x += width + (gap_after_second if index == 1 else gap)


def chinese_two_lines(rng: np.random.Generator, scale: float, _: Rules, hanzi: Hanzi = bold_hanzi) -> Face:
    """The yellow rear plate of a lorry: 440 x 220 mm, province and letter above the serial."""
    one, other, ink = CHINESE_COLOURS["yellow"]
    canvas = Canvas(440, 220, scale, between(rng, one, other), hanzi(rng))
    canvas.border(4, 2.5, 8, ink)
    groups, font, weight = registrations.chinese(rng), ROADGEEK[1], int(rng.integers(0, 3))
    for index, char in enumerate(groups[0]):
        canvas.boxed(font, char, (110 + 140 * index, 15, 80, 60), ink, weight)
    for index, char in enumerate(groups[1]):
        canvas.boxed(font, char, (27 + 80 * index, 90, 65, 110), ink, weight)
    return canvas.face("/".join(groups), CHINA)


# --- Europe -----------------------------------------------------------------------------------------------------------

# a second band reads as a further character, so such countries are rarer here than on roads
EU_SHARES = np.array([0.22, 0.26, 0.12, 0.05, 0.04, 0.08, 0.08, 0.02, 0.04, 0.03, 0.04, 0.02])


def european(rng: np.random.Generator, scale: float, rules: Rules) -> Face:
    """520 x 110 mm with the blue band; yellow in the Netherlands, red characters in Belgium, two bands in Italy, the
    seals of town and inspection in Germany."""
    country = str(rng.choice(EU_COUNTRIES, p=EU_SHARES))
    background = vary(rng, YELLOW if country == "NL" else WHITE)
    ink = vary(rng, RED if country == "BE" else BLACK)
    canvas = Canvas(520, 110, scale, background)
    blue_band(rng, canvas, country)
    right = 520.0
    if country in ("FR", "IT", "PT"):
        right = 480
        canvas.rectangle(480, 0, 40, 110, (0.85, 0.7, 0.15) if country == "PT" else EU_BLUE)
    if rng.random() < 0.8:
        canvas.border(rng.uniform(1.5, 3), rng.uniform(1.5, 3), 8, ink if country == "BE" else BLACK)
    groups = rules[country](rng)
    font = str(rng.choice([*ROADGEEK, *ROADGEEK, *NARROW, *BROAD, *FIXED]))
    sealed = country == "DE" and rng.random() < 0.25
    gaps = canvas.line(rng, groups, font, (44, right), (17.5, 75), ink, gap=52 if sealed else None)
    if sealed:
        for y, colour in ((33, tuple(rng.uniform(0.2, 0.9, 3))), (76, (0.62, 0.63, 0.62))):
            canvas.disc(gaps[0], y, 15, vary(rng, colour))
            canvas.disc(gaps[0], y, 8, vary(rng, WHITE))
    return canvas.face("".join(groups), country)


def british(rng: np.random.Generator, scale: float, rules: Rules) -> Face:
    """520 x 111 mm: white in front, yellow behind; characters 50 x 79 mm; the maker's name below."""
    canvas = Canvas(520, 111, scale, vary(rng, WHITE if rng.random() < 0.5 else (0.97, 0.78, 0.1)))
    left = 8.0
    if rng.random() < 0.3:
        blue_band(rng, canvas, "GB")
        left = 46
    groups = rules["GB"](rng)
    font = str(rng.choice([*ROADGEEK, "LiberationSans-Bold.ttf", "BebasNeue-Bold.otf", "NationalPark-Heavy.otf"]))
    canvas.line(rng, groups, font, (left, 512), (14, 79), vary(rng, BLACK))
    if rng.random() < 0.5:
        canvas.small_print(registrations.dealer(rng), 260, 99, 7, BLACK)
    return canvas.face("".join(groups), "GB")


def european_two_lines(rng: np.random.Generator, scale: float, rules: Rules) -> Face:
    country = str(rng.choice(EU_COUNTRIES, p=EU_SHARES))
    canvas = Canvas(280, 200, scale, vary(rng, WHITE))
    blue_band(rng, canvas, country)
    canvas.border(2, 2, 8, BLACK)
    groups = rules[country](rng)
    font, ink = str(rng.choice(ROADGEEK)), vary(rng, BLACK)
    lines = [groups[:1], groups[1:]]
    for y, line in zip((16, 107), lines, strict=True):
        canvas.line(rng, line, font, (46, 276), (y, 75), ink)
    return canvas.face("/".join("".join(line) for line in lines), country)


def blue_band(rng: np.random.Generator, canvas: Canvas, country: str) -> None:
    canvas.rectangle(0, 0, 40, canvas.size_mm[1], between(rng, EU_BLUE, (0.12, 0.26, 0.68)))
    for angle in np.arange(12) * np.pi / 6:
        canvas.disc(20 + 12 * np.sin(angle), 34 + 12 * np.cos(angle), 2.2, (0.95, 0.85, 0.2))
    canvas.small_print(country, 20, canvas.size_mm[1] - 36, rng.uniform(17, 22), WHITE)


# --- The Americas -----------------------------------------------------------------------------------------------------


def american(rng: np.random.Generator, scale: float, rules: Rules) -> Face:
    """12 x 6 inches: a coloured scene behind, the state above, a motto below."""
    canvas = Canvas(305, 152, scale, WHITE)
    coloured_scene(rng, canvas)
    ink = vary(rng, ((0.05, 0.1, 0.35), (0.5, 0.05, 0.08), BLACK, (0.05, 0.3, 0.15))[rng.integers(4)])
    groups = rules["US"](rng)
    canvas.line(rng, groups, str(rng.choice([*NARROW, *ROADGEEK])), (8, 297), (42, 70), ink)
    head = ink if rng.random() < 0.6 else vary(rng, RED)
    canvas.small_print(str(rng.choice(registrations.STATES)), 152, 12, rng.uniform(13, 18), head)
    if rng.random() < 0.7:
        canvas.small_print(str(rng.choice(registrations.MOTTOES)), 152, 129, rng.uniform(8, 11), head)
    if rng.random() < 0.4:
        canvas.border(1.5, 1.5, 10, ink)
    return canvas.face("".join(groups), "US")


def coloured_scene(rng: np.random.Generator, canvas: Canvas) -> None:
    """Sky, hills and ground in pale colours, or one pale colour."""
    height, width = canvas.ink.shape
    tints = rng.uniform(0.72, 0.98, (2, 3)).astype(np.float32)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    canvas.pixels[:] = tints[0] + down * (tints[1] - tints[0])
    if rng.random() < 0.5:
        xs = np.linspace(0, rng.uniform(5, 15), width)
        hills = height * (0.65 + 0.1 * np.sin(xs + rng.uniform(0, 6)) + 0.05 * np.sin(2.7 * xs))
        canvas.paint((np.arange(height)[:, None] > hills[None]).astype(np.float32), tuple(rng.uniform(0.62, 0.9, 3)))


def brazilian(rng: np.random.Generator, scale: float, rules: Rules) -> Face:
    """Mercosul: 400 x 130 mm, a blue band along the top with the country's name."""
    canvas = Canvas(400, 130, scale, vary(rng, WHITE))
    canvas.rectangle(0, 0, 400, 30, vary(rng, EU_BLUE))
    canvas.small_print("BRASIL", 200, 8, 15, WHITE)
    canvas.border(1.5, 2, 8, BLACK)
    groups = rules["BR"](rng)
    font = str(rng.choice([*ROADGEEK, "LiberationSans-Bold.ttf"]))
    canvas.line(rng, groups, font, (12, 388), (45, 68), vary(rng, BLACK))
    return canvas.face("".join(groups), "BR")


# --- Elsewhere --------------------------------------------------------------------------------------------------------

# background, characters
PLAIN: dict[str, tuple[Colour, Colour]] = {
    "IN": (WHITE, BLACK),
    "IL": (YELLOW, BLACK),
    "AU": (WHITE, (0.06, 0.12, 0.4)),
    "ZA": ((0.9, 0.9, 0.86), (0.05, 0.28, 0.16)),
    "MY": (BLACK, WHITE),
}


def plain(rng: np.random.Generator, scale: float, rules: Rules) -> Face:
    """A frame and a number and nothing else, 480 x 115 mm, as in much of the world."""
    country = str(rng.choice(list(PLAIN)))
    background, ink = (vary(rng, colour) for colour in PLAIN[country])
    canvas = Canvas(480, 115, scale, background)
    if rng.random() < 0.6:
        canvas.border(rng.uniform(1.5, 5), rng.uniform(1.5, 4), 8, ink)
    groups = rules[country](rng)
    font = str(rng.choice([*ROADGEEK, *NARROW, *BROAD, *FIXED]))
    canvas.line(rng, groups, font, (10, 470), (19, 77), ink)
    return canvas.face("".join(groups), country)


DESIGNS: list[Share] = [
    (0.25, 440, chinese("blue")),
    (0.12, 480, chinese_new_energy),
    (0.04, 440, chinese("yellow")),
    (0.02, 440, chinese("white")),
    (0.02, 440, chinese("black")),
    (0.02, 440, chinese_two_lines),
    (0.25, 520, european),
    (0.07, 520, british),
    (0.02, 280, european_two_lines),
    (0.08, 305, american),
    (0.05, 400, brazilian),
    (0.06, 480, plain),
]


# --- Varied designs, for training -------------------------------------------------------------------------------------

# draws between two groups: (rng, canvas, x of the gap's middle, y of the characters' middle, room in mm)
Mark = Callable[[np.random.Generator, Canvas, float, float, float], None]
VARIED_COUNTRIES = (
    *EU_COUNTRIES, "SK", "SK", "CZ", "AT", "DK", "NO", "FI", "SI", "HR", "BG", "LT", "LV", "EE", "GR", "IE",
    "CH",
)  # fmt: skip
VARIED_FACES = (*DIN, *DIN, *SQUARE, *ROADGEEK, *NARROW, *BROAD, *FIXED)
VARIED_BRITISH_FACES = (*SQUARE, *DIN, *ROADGEEK, "BebasNeue-Bold.otf", "NationalPark-Heavy.otf")
VARIED_AMERICAN_FACES = (*ROUND, *ROUND, *DIN, *NARROW, *ROADGEEK, "FjallaOne-Regular.ttf")
VARIED_INKS: tuple[Colour, ...] = ((0.05, 0.1, 0.35), (0.5, 0.05, 0.08), BLACK, (0.05, 0.3, 0.15), (0.12, 0.2, 0.6))
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def varied_hanzi(rng: np.random.Generator) -> tuple[str, int]:
    """Three faces, thinner and bolder: real provinces are drawn in finer strokes than the letters beside them."""
    choices = (*((HANZI, -2), (HANZI, -3)), *((HANZI_LIGHT, 0), (HANZI_LIGHT, 1)), *((HANZI_KAI, 0), (HANZI_KAI, 1)))
    return choices[rng.integers(len(choices))]


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


def varied_european(rng: np.random.Generator, scale: float, rules: Rules) -> Face:
    """520 x 110 mm: blue band or none, new or years old, black characters or another colour's; rarely on black."""
    country = str(rng.choice(VARIED_COUNTRIES))
    ground, ink = _varied_european_colours(rng, country)
    canvas = Canvas(520, 110, scale, ground)
    left, right = 8.0, 512.0
    if rng.random() < 0.75:
        blue_band(rng, canvas, country)
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
    _marked(rng, canvas, marks, groups, str(rng.choice(VARIED_FACES)), (left, right), row, ink)
    return canvas.face("".join(groups), country)


def _varied_european_colours(rng: np.random.Generator, country: str) -> tuple[Colour, Colour]:
    """Ground and ink."""
    if rng.random() < 0.04:
        return vary(rng, BLACK), vary(rng, (0.9, 0.86, 0.7))
    ground = YELLOW if country == "NL" or rng.random() < 0.04 else WHITE
    # old sheeting goes grey or yellowish
    if ground == WHITE and rng.random() < 0.3:
        ground = tuple(np.array(WHITE) * rng.uniform(0.7, 1) * [1, rng.uniform(0.93, 1), rng.uniform(0.75, 1)])
    coloured = RED if country == "BE" else ((0.05, 0.3, 0.15), (0.05, 0.12, 0.45))[rng.integers(2)]
    return vary(rng, ground), vary(rng, coloured if country == "BE" or rng.random() < 0.05 else BLACK)


def varied_british(rng: np.random.Generator, scale: float, rules: Rules) -> Face:
    """520 x 111 mm: white or yellow, a band of blue or green on some; close-set characters 79 mm high."""
    canvas = Canvas(520, 111, scale, vary(rng, WHITE if rng.random() < 0.5 else (0.97, 0.78, 0.1)))
    left = 8.0
    if rng.random() < 0.35:
        if rng.random() < 0.3:
            canvas.rectangle(0, 0, 40, 111, vary(rng, (0.1, 0.55, 0.25)))
        else:
            blue_band(rng, canvas, str(rng.choice(["GB", "UK"])))
        left = 46
    groups = rules["GB"](rng)
    canvas.line(rng, groups, str(rng.choice(VARIED_BRITISH_FACES)), (left, 512), (14, 79), vary(rng, BLACK))
    if rng.random() < 0.5:
        canvas.small_print(registrations.dealer(rng), 260, 99, 7, BLACK)
    return canvas.face("".join(groups), "GB")


def varied_american(rng: np.random.Generator, scale: float, rules: Rules) -> Face:
    """12 x 6 inches: one colour or a scene, some light on dark, stickers in the corners, a mark between the groups."""
    canvas = Canvas(305, 152, scale, WHITE)
    dark = rng.random() < 0.12
    ink = vary(rng, (WHITE, YELLOW)[rng.integers(2)] if dark else VARIED_INKS[rng.integers(len(VARIED_INKS))])
    head = ink if rng.random() < 0.6 else vary(rng, WHITE if dark else RED)
    if dark:
        canvas.pixels[:] = vary(rng, VARIED_INKS[rng.integers(len(VARIED_INKS))])
    else:
        coloured_scene(rng, canvas)
        if rng.random() < 0.25:
            canvas.rectangle(0, 0, 305, rng.uniform(24, 36), vary(rng, VARIED_INKS[rng.integers(len(VARIED_INKS))]))
            head = vary(rng, WHITE)
    groups = rules["US"](rng)
    marks = {nothing: 0.5, dot: 0.15, dash: 0.1, picture: 0.25}
    height = rng.uniform(60, 74)
    row = ((152 - height) / 2 + rng.uniform(-3, 5), height)
    # the round faces draw I and 1, O and 0 alike
    clear = not set("IO") & set("".join(groups))
    font = str(rng.choice([face for face in VARIED_AMERICAN_FACES if clear or face not in ROUND]))
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


VARIED_DESIGNS: list[Share] = [
    (0.2, 440, chinese("blue", varied_hanzi)),
    (0.1, 480, partial(chinese_new_energy, hanzi=varied_hanzi)),
    (0.03, 440, chinese("yellow", varied_hanzi)),
    (0.015, 440, chinese("white", varied_hanzi)),
    (0.015, 440, chinese("black", varied_hanzi)),
    (0.03, 440, partial(chinese_two_lines, hanzi=varied_hanzi)),
    (0.08, 520, european),
    (0.2, 520, varied_european),
    (0.03, 520, british),
    (0.06, 520, varied_british),
    (0.03, 280, european_two_lines),
    (0.03, 305, american),
    (0.1, 305, varied_american),
    (0.03, 400, brazilian),
    (0.05, 480, plain),
]
