"""The face of a plate, seen from straight ahead: background, border, characters where the country puts them.

Sizes are millimetres; a face is drawn at `scale` pixels per millimetre. Pictures are (H, W, 3) float32 RGB in [0, 1].
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from data import glyphs, registrations
from data.ccpd import CHINA

Colour = tuple[float, float, float]
WHITE, BLACK = (0.93, 0.93, 0.92), (0.07, 0.07, 0.08)
EU_BLUE: Colour = (0.05, 0.16, 0.55)
EU_COUNTRIES = ("DE", "RO", "PL", "FR", "IT", "ES", "NL", "PT", "SE", "CZ", "HU", "BE")


@dataclass(frozen=True)
class Face:
    """pixels: (H, W, 3). ink: (H, W) mask of the characters, from which embossing takes its shade."""

    pixels: np.ndarray
    ink: np.ndarray
    text: str
    country: str


class Canvas:
    """A face being drawn; coordinates in millimetres from the upper left."""

    def __init__(self, width_mm: float, height_mm: float, scale: float, colour: Colour) -> None:
        self.scale = scale
        shape = round(height_mm * scale), round(width_mm * scale)
        self.size_mm = width_mm, height_mm
        self.pixels = np.empty((*shape, 3), np.float32)
        self.pixels[:] = colour
        self.ink = np.zeros(shape, np.float32)

    def rectangle(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        s = self.scale
        self.pixels[round(y * s) : round((y + height) * s), round(x * s) : round((x + width) * s)] = colour

    def border(self, inset: float, thickness: float, radius: float, colour: Colour) -> None:
        """A line with rounded corners along the edge."""
        mask = _rounded(self.ink.shape, inset * self.scale, radius * self.scale)
        mask -= _rounded(self.ink.shape, (inset + thickness) * self.scale, max(0.5, radius - thickness) * self.scale)
        self.paint(mask, colour)

    def glyph(
        self, font: str, char: str, x: float, y: float, width: float, height: float, colour: Colour, weight: int
    ) -> None:
        """One character, filling its box exactly."""
        s = self.scale
        top, left = round(y * s), round(x * s)
        mask = self.paint(glyphs.glyph(font, char, round(height * s), round(width * s), weight), colour, top, left)
        room = self.ink[top : top + mask.shape[0], left : left + mask.shape[1]]
        np.maximum(room, mask, out=room)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        side = 2 * int(radius * self.scale + 2)
        left, top = int(x * self.scale) - side // 2, int(y * self.scale) - side // 2
        mask = np.zeros((side, side), np.float32)
        centre = round((x * self.scale - left) * 16), round((y * self.scale - top) * 16)
        cv2.circle(mask, centre, round(radius * self.scale * 16), 1.0, -1, cv2.LINE_AA, shift=4)
        self.paint(mask, colour, top, left)

    def paint(self, mask: np.ndarray, colour: Colour, top: int = 0, left: int = 0) -> np.ndarray:
        """Mix `colour` in where the mask, whose corner lies at (top, left) px, says so; returns the mask cut to the face."""
        room = self.pixels[top : top + mask.shape[0], left : left + mask.shape[1]]
        mask = mask[: room.shape[0], : room.shape[1]]
        room += mask[..., None] * (np.array(colour, np.float32) - room)
        return mask


def draw_face(rng: np.random.Generator, scale: float) -> Face:
    """A plate of a random country, by the shares of `DESIGNS`."""
    shares = np.array([share for share, _ in DESIGNS])
    return DESIGNS[rng.choice(len(DESIGNS), p=shares / shares.sum())][1](rng, scale)


# --- China (GA 36): 440 x 140 mm, characters 45 x 90 mm -----------------------------------------------------------------

CHINESE_COLOURS: dict[str, tuple[Colour, Colour]] = {
    "blue": ((0.06, 0.22, 0.62), WHITE),
    "yellow": ((0.95, 0.72, 0.1), BLACK),
    "white": (WHITE, BLACK),
    "black": (BLACK, WHITE),
}


def chinese(kind: str) -> Callable[[np.random.Generator, float], Face]:
    def draw(rng: np.random.Generator, scale: float) -> Face:
        background, ink = (vary(rng, colour) for colour in CHINESE_COLOURS[kind])
        canvas = Canvas(440, 140, scale, background)
        canvas.border(4, 2.5, 8, ink)
        groups = registrations.chinese_police(rng) if kind == "white" else registrations.chinese(rng)
        _chinese_row(rng, canvas, groups, ink, widths=[45] * 7, gap=12, gap_after_second=34)
        canvas.disc(134.5, 70, 5, ink)
        return _face(canvas, "".join(groups), CHINA)

    return draw


def chinese_new_energy(rng: np.random.Generator, scale: float) -> Face:
    """480 x 140 mm, white running into green, black characters, 43 mm wide but for the province's 45."""
    canvas = Canvas(480, 140, scale, WHITE)
    green = np.array(vary(rng, (0.35, 0.78, 0.5)), np.float32)
    down = np.linspace(-0.1, 1.0, canvas.ink.shape[0], dtype=np.float32).clip(0)[:, None, None]
    canvas.pixels += down * (green - canvas.pixels)
    canvas.border(4, 2, 8, BLACK)
    groups = registrations.chinese_new_energy(rng)
    _chinese_row(rng, canvas, groups, vary(rng, BLACK), widths=[45] + [43] * 7, gap=9, gap_after_second=49)
    canvas.disc(136, 45, 9, (0.2, 0.55, 0.3))
    return _face(canvas, "".join(groups), CHINA)


def _chinese_row(
    rng, canvas: Canvas, groups: list[str], ink: Colour, widths: list[float], gap: float, gap_after_second: float
) -> None:
    font, weight = (
        str(rng.choice([*glyphs.ROADGEEK, *glyphs.ROADGEEK, "RobotoCondensed-Bold.ttf"])),
        int(rng.integers(0, 3)),
    )
    x = 15.5
    for index, (char, width) in enumerate(zip("".join(groups), widths, strict=True)):
        _boxed(canvas, font, char, x, 25, width, 90, ink, weight)
        x += width + (gap_after_second if index == 1 else gap)


def chinese_two_lines(rng: np.random.Generator, scale: float) -> Face:
    """The yellow rear plate of a lorry: 440 x 220 mm, province and letter above the serial."""
    background, ink = (vary(rng, colour) for colour in CHINESE_COLOURS["yellow"])
    canvas = Canvas(440, 220, scale, background)
    canvas.border(4, 2.5, 8, ink)
    groups, font, weight = registrations.chinese(rng), glyphs.ROADGEEK[1], int(rng.integers(0, 3))
    for index, char in enumerate(groups[0]):
        _boxed(canvas, font, char, 110 + 140 * index, 15, 80, 60, ink, weight)
    for index, char in enumerate(groups[1]):
        _boxed(canvas, font, char, 27 + 80 * index, 90, 65, 110, ink, weight)
    return _face(canvas, "/".join(groups), CHINA)


# --- Europe ---------------------------------------------------------------------------------------------------------------


def european(rng: np.random.Generator, scale: float) -> Face:
    """520 x 110 mm with the blue band; yellow in the Netherlands, red characters in Belgium, two bands in Italy."""
    country = str(rng.choice(EU_COUNTRIES, p=EU_SHARES))
    background = vary(rng, (0.95, 0.75, 0.1) if country == "NL" else WHITE)
    ink = vary(rng, (0.6, 0.08, 0.1) if country == "BE" else BLACK)
    canvas = Canvas(520, 110, scale, background)
    _blue_band(canvas, 0, country)
    right = 520.0
    if country in ("FR", "IT", "PT"):
        right = 480
        canvas.rectangle(480, 0, 40, 110, (0.85, 0.7, 0.15) if country == "PT" else EU_BLUE)
    if rng.random() < 0.8:
        canvas.border(2, 2, 8, BLACK)
    groups = registrations.RULES[country](rng)
    font = str(rng.choice([*glyphs.ROADGEEK, *glyphs.ROADGEEK, *glyphs.NARROW, *glyphs.BROAD, *glyphs.FIXED]))
    _line(rng, canvas, groups, font, (44, right), (17.5, 75), ink)
    return _face(canvas, "".join(groups), country)


# a second band reads as a further character, so such countries are rarer here than on roads
EU_SHARES = np.array([0.22, 0.26, 0.12, 0.05, 0.04, 0.08, 0.08, 0.02, 0.04, 0.03, 0.04, 0.02])


def british(rng: np.random.Generator, scale: float) -> Face:
    """520 x 111 mm: white in front, yellow behind; characters 50 x 79 mm; the maker's name below."""
    canvas = Canvas(520, 111, scale, vary(rng, WHITE if rng.random() < 0.5 else (0.97, 0.78, 0.1)))
    left = 8.0
    if rng.random() < 0.3:
        _blue_band(canvas, 0, "GB")
        left = 46
    groups = registrations.RULES["GB"](rng)
    font = str(
        rng.choice([*glyphs.ROADGEEK, "LiberationSans-Bold.ttf", "BebasNeue-Bold.otf", "NationalPark-Heavy.otf"])
    )
    _line(rng, canvas, groups, font, (left, 512), (14, 79), vary(rng, BLACK))
    if rng.random() < 0.5:
        caption(rng, canvas, 99, 7, BLACK)
    return _face(canvas, "".join(groups), "GB")


def european_two_lines(rng: np.random.Generator, scale: float) -> Face:
    country = str(rng.choice(EU_COUNTRIES, p=EU_SHARES))
    canvas = Canvas(280, 200, scale, vary(rng, WHITE))
    _blue_band(canvas, 0, country)
    canvas.border(2, 2, 8, BLACK)
    groups = registrations.RULES[country](rng)
    font, ink = str(rng.choice(glyphs.ROADGEEK)), vary(rng, BLACK)
    lines = [groups[:1], groups[1:]]
    for y, line in zip((16, 107), lines, strict=True):
        _line(rng, canvas, line, font, (46, 276), (y, 75), ink)
    return _face(canvas, "/".join("".join(line) for line in lines), country)


def _blue_band(canvas: Canvas, x: float, country: str) -> None:
    canvas.rectangle(x, 0, 40, canvas.size_mm[1], EU_BLUE)
    for angle in np.arange(12) * np.pi / 6:
        canvas.disc(x + 20 + 12 * np.sin(angle), 34 + 12 * np.cos(angle), 2.2, (0.95, 0.85, 0.2))
    width = 13.0
    start = x + 20 - width * len(country) / 2
    for index, char in enumerate(country):
        _small(canvas, char, start + width * index, canvas.size_mm[1] - 38, 22, WHITE)


# --- The Americas -----------------------------------------------------------------------------------------------------------


def american(rng: np.random.Generator, scale: float) -> Face:
    """12 x 6 inches: a coloured scene behind, the state above, a motto below."""
    canvas = Canvas(305, 152, scale, WHITE)
    _coloured_scene(rng, canvas)
    ink = vary(rng, ((0.05, 0.1, 0.35), (0.5, 0.05, 0.08), BLACK, (0.05, 0.3, 0.15))[rng.integers(4)])
    groups = registrations.RULES["US"](rng)
    _line(rng, canvas, groups, str(rng.choice([*glyphs.NARROW, *glyphs.ROADGEEK])), (8, 297), (42, 70), ink)
    caption(rng, canvas, 11, 16, ink)
    if rng.random() < 0.7:
        caption(rng, canvas, 128, 11, ink)
    return _face(canvas, "".join(groups), "US")


def _coloured_scene(rng: np.random.Generator, canvas: Canvas) -> None:
    """Sky, hills and ground in pale colours, or one pale colour."""
    height, width = canvas.ink.shape
    tints = rng.uniform(0.72, 0.98, (2, 3)).astype(np.float32)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    canvas.pixels[:] = tints[0] + down * (tints[1] - tints[0])
    if rng.random() < 0.5:
        xs = np.linspace(0, rng.uniform(5, 15), width)
        hills = height * (0.65 + 0.1 * np.sin(xs + rng.uniform(0, 6)) + 0.05 * np.sin(2.7 * xs))
        canvas.paint((np.arange(height)[:, None] > hills[None]).astype(np.float32), tuple(rng.uniform(0.62, 0.9, 3)))


def brazilian(rng: np.random.Generator, scale: float) -> Face:
    """Mercosul: 400 x 130 mm, a blue band along the top with the country's name."""
    canvas = Canvas(400, 130, scale, vary(rng, WHITE))
    canvas.rectangle(0, 0, 400, 30, EU_BLUE)
    for index, char in enumerate("BRASIL"):
        _small(canvas, char, 150 + 17 * index, 8, 15, WHITE)
    canvas.border(1.5, 2, 8, BLACK)
    groups = registrations.RULES["BR"](rng)
    font = str(rng.choice([*glyphs.ROADGEEK, "LiberationSans-Bold.ttf"]))
    _line(rng, canvas, groups, font, (12, 388), (45, 68), vary(rng, BLACK))
    return _face(canvas, "".join(groups), "BR")


# --- Shared ---------------------------------------------------------------------------------------------------------------

DESIGNS: list[tuple[float, Callable[[np.random.Generator, float], Face]]] = [
    (0.26, chinese("blue")),
    (0.12, chinese_new_energy),
    (0.05, chinese("yellow")),
    (0.02, chinese("white")),
    (0.02, chinese("black")),
    (0.02, chinese_two_lines),
    (0.27, european),
    (0.08, british),
    (0.03, european_two_lines),
    (0.08, american),
    (0.05, brazilian),
]


def vary(rng: np.random.Generator, colour: Colour) -> Colour:
    """The colour as another batch of paint, and some years of sun, would have it."""
    return tuple(np.clip(np.array(colour) * rng.uniform(0.85, 1.08) + rng.normal(0, 0.02, 3), 0.02, 0.98))


def caption(rng: np.random.Generator, canvas: Canvas, y: float, height: float, colour: Colour) -> None:
    """Small lettering that belongs to the plate but not to its number: a state, a motto, a dealer."""
    letters = registrations.pick(rng, registrations.LETTERS, int(rng.integers(5, 12)))
    width = height * 0.75
    start = canvas.size_mm[0] / 2 - width * len(letters) / 2
    for index, char in enumerate(letters):
        _small(canvas, char, start + width * index, y, height, colour)


def _line(
    rng, canvas: Canvas, groups: list[str], font: str, span: tuple[float, float], row: tuple[float, float], ink: Colour
) -> None:
    """Groups of characters centred in `span` (left, right), at their natural widths, squeezed where they would not fit."""
    y, height = row
    stretch, weight = rng.uniform(0.9, 1.15), int(rng.integers(-1, 3))
    gap, wide_gap = rng.uniform(6, 10), rng.uniform(18, 30)
    widths = [[glyphs.aspect(font, char) * height * stretch for char in group] for group in groups]
    total = sum(map(sum, widths)) + gap * sum(len(group) - 1 for group in groups) + wide_gap * (len(groups) - 1)
    squeeze = min(1.0, (span[1] - span[0] - 14) / total)
    x = (span[0] + span[1] - total * squeeze) / 2
    for chars, group_widths in zip(groups, widths, strict=True):
        for char, width in zip(chars, group_widths, strict=True):
            canvas.glyph(font, char, x, y, width * squeeze, height, ink, weight)
            x += (width + gap) * squeeze
        x += (wide_gap - gap) * squeeze


def _boxed(
    canvas: Canvas, font: str, char: str, x: float, y: float, width: float, height: float, ink: Colour, weight: int
) -> None:
    """One character filling a box of its own; a 1 keeps its shape, since a broad bar reads as a block."""
    if ord(char) > 127:
        font, weight = glyphs.HANZI, 0
    narrow = min(width, 0.3 * height) if char == "1" else width
    canvas.glyph(font, char, x + (width - narrow) / 2, y, narrow, height, ink, weight)


def _small(canvas: Canvas, char: str, x: float, y: float, height: float, colour: Colour) -> None:
    font = "LiberationSans-Bold.ttf"
    ink = canvas.ink.copy()  # small print is not embossed
    canvas.glyph(font, char, x, y, glyphs.aspect(font, char) * height, height, colour, 0)
    canvas.ink = ink


def _face(canvas: Canvas, text: str, country: str) -> Face:
    return Face(canvas.pixels, canvas.ink, text, country)


def _rounded(shape: tuple[int, int], inset: float, radius: float) -> np.ndarray:
    """Mask of a rectangle with rounded corners, `inset` px inside the edges, with soft edges."""
    height, width = shape
    ys = np.abs(np.arange(height, dtype=np.float32) + 0.5 - height / 2) - (height / 2 - inset - radius)
    xs = np.abs(np.arange(width, dtype=np.float32) + 0.5 - width / 2) - (width / 2 - inset - radius)
    outside = np.hypot(np.maximum(ys, 0)[:, None], np.maximum(xs, 0)[None])
    return np.clip(radius - outside + 0.5, 0, 1)


def shapes() -> Iterator[Callable[[np.random.Generator, float], Face]]:
    """Every design once, for tests and sheets."""
    return (design for _, design in DESIGNS)
