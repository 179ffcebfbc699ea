"""What the renderer draws with: fonts, a blank for plates, a pen for what stands around them in the photo, clouds.

The fonts lie in `data/fonts`, each with its licence beside it. A plate gives each character a box, not a baseline: a
character's mask is (H, W) float32 in [0, 1], cut tight around it. Lines are what is no registration number: words,
prices, dates, telephone numbers, what only looks like writing.

Sizes are millimetres, x to the right and y down. A plate's face is drawn at `scale` pixels per millimetre, (H, W, 3)
float32 RGB in [0, 1]; a pen draws into a photo, (H, W, 3) uint8 RGB, through a homography.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data.ccpd import PROVINCES
from data.io import to_float

Colour = tuple[float, float, float]

FONT_FOLDER = Path(__file__).resolve().parents[1] / "fonts"
# Noto Sans CJK SC, cut down to the characters of Chinese plates
HANZI = "NotoSansCJKsc-Bold-provinces.otf"
ROADGEEK = ("RG2014C.ttf", "RG2014D.ttf")
NARROW = ("RG2014B.ttf", "BebasNeue-Bold.otf", "RobotoCondensed-Bold.ttf")
BROAD = ("LiberationSans-Bold.ttf", "NationalPark-Heavy.otf", "Play-Bold.ttf")
FIXED = ("B612Mono-Bold.otf", "LiberationMono-Bold.ttf")
# of the varied designs alone, since the benchmark's photos are frozen: faces like DIN 1451's, squarish ones, and ones
# whose strokes end round, as where the number is pressed into the metal
DIN = ("BarlowSemiCondensed-SemiBold.ttf", "Barlow-SemiBold.ttf", "OSP-DIN.ttf")
SQUARE = ("Rajdhani-Bold.ttf", "ChakraPetch-SemiBold.ttf", "FjallaOne-Regular.ttf")
ROUND = ("PlateRound-Regular.ttf", "PlateRound-Narrow.ttf")
HANZI_LIGHT, HANZI_KAI = "DroidSansFallback-provinces.ttf", "PlateKai-Bold-provinces.ttf"
# height at which single characters are drawn before they are shrunk to their place
CHARACTER_PX = 128
SMALL_PRINT = "LiberationSans-Bold.ttf"


# --- Single characters ------------------------------------------------------------------------------------------------


def glyph(font: str, char: str, height: int, width: int, weight: int = 0) -> np.ndarray:
    """The mask of one character, scaled to (height, width). `weight` thickens (above 0) or thins the strokes, by 1/64
    of the height a step."""
    drawn = _drawn(font, char, weight)
    return cv2.resize(drawn, (max(1, width), max(1, height)), interpolation=cv2.INTER_AREA)


def aspect(font: str, char: str) -> float:
    """Width over height of the character as the font draws it."""
    height, width = _drawn(font, char, 0).shape
    return width / height


@lru_cache(maxsize=4096)
def _drawn(font: str, char: str, weight: int) -> np.ndarray:
    face = ImageFont.truetype(FONT_FOLDER / font, int(CHARACTER_PX * 1.4))
    canvas = Image.new("L", (3 * CHARACTER_PX, 3 * CHARACTER_PX))
    ImageDraw.Draw(canvas).text((CHARACTER_PX // 2, CHARACTER_PX // 2), char, font=face, fill=255)
    pixels = to_float(np.asarray(canvas.crop(canvas.getbbox())))
    if weight:
        size = 2 * abs(weight) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        pixels = cv2.dilate(pixels, kernel) if weight > 0 else cv2.erode(pixels, kernel)
    return pixels


# --- A plate ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Face:
    """pixels: (H, W, 3). ink: (H, W) mask of the characters, from which embossing takes its shade. size_mm: width,
    height."""

    pixels: np.ndarray
    ink: np.ndarray
    text: str
    country: str
    size_mm: tuple[float, float] = (440, 140)


class Canvas:
    """A face being drawn; coordinates in millimetres from the upper left."""

    def __init__(
        self, width_mm: float, height_mm: float, scale: float, colour: Colour, hanzi: tuple[str, int] = (HANZI, -2)
    ) -> None:
        """hanzi: the face of Chinese characters, and the steps of weight added to the letters'."""
        self.scale = scale
        shape = round(height_mm * scale), round(width_mm * scale)
        self.size_mm = width_mm, height_mm
        self.pixels = np.empty((*shape, 3), np.float32)
        self.pixels[:] = colour
        self.ink = np.zeros(shape, np.float32)
        self.hanzi = hanzi

    def face(self, text: str, country: str) -> Face:
        return Face(self.pixels, self.ink, text, country, self.size_mm)

    def rectangle(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        s = self.scale
        self.pixels[round(y * s) : round((y + height) * s), round(x * s) : round((x + width) * s)] = colour

    def border(self, inset: float, thickness: float, radius: float, colour: Colour) -> None:
        """A line with rounded corners along the edge."""
        mask = _rounded(self.ink.shape, inset * self.scale, radius * self.scale)
        mask -= _rounded(self.ink.shape, (inset + thickness) * self.scale, max(0.5, radius - thickness) * self.scale)
        self.paint(mask, colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        side = 2 * int(radius * self.scale + 2)
        left, top = int(x * self.scale) - side // 2, int(y * self.scale) - side // 2
        mask = np.zeros((side, side), np.float32)
        centre = round((x * self.scale - left) * 16), round((y * self.scale - top) * 16)
        cv2.circle(mask, centre, round(radius * self.scale * 16), 1.0, -1, cv2.LINE_AA, shift=4)
        self.paint(mask, colour, top, left)

    def glyph(
        self, font: str, char: str, x: float, y: float, width: float, height: float, colour: Colour, weight: int
    ) -> None:
        """One embossed character, filling its box exactly."""
        s = self.scale
        top, left = round(y * s), round(x * s)
        mask = self.paint(glyph(font, char, round(height * s), round(width * s), weight), colour, top, left)
        room = self.ink[top : top + mask.shape[0], left : left + mask.shape[1]]
        np.maximum(room, mask, out=room)

    def boxed(self, font: str, char: str, box: tuple[float, float, float, float], ink: Colour, weight: int) -> None:
        """One character filling a box (x, y, width, height) of its own; a 1 keeps its shape, since a broad bar reads as
        a block."""
        x, y, width, height = box
        if ord(char) > 127:
            font, weight = self.hanzi[0], max(-2, weight + self.hanzi[1])
        narrow = min(width, 0.3 * height) if char == "1" else width
        self.glyph(font, char, x + (width - narrow) / 2, y, narrow, height, ink, weight)

    def line(
        self, rng, groups: list[str], font: str, span: tuple, row: tuple, ink: Colour, gap: float | None = None
    ) -> list:
        """Groups of characters centred in `span` (left, right) and `row` (top, height), at their natural widths,
        squeezed where they would not fit. gap: mm between groups. Returns where each gap's middle lies."""
        y, height = row
        stretch, weight = rng.uniform(0.9, 1.15), int(rng.integers(-1, 3))
        narrow_gap, wide_gap = rng.uniform(6, 10), gap or rng.uniform(18, 30)
        widths = [[self._width(font, char) * height * stretch for char in group] for group in groups]
        total = (
            sum(map(sum, widths)) + narrow_gap * sum(len(group) - 1 for group in groups) + wide_gap * (len(groups) - 1)
        )
        squeeze = min(1.0, (span[1] - span[0] - 20) / total)
        x, gaps = (span[0] + span[1] - total * squeeze) / 2, []
        for chars, group_widths in zip(groups, widths, strict=True):
            for char, width in zip(chars, group_widths, strict=True):
                self.glyph(font, char, x, y, width * squeeze, height, ink, weight)
                x += (width + narrow_gap) * squeeze
            gaps.append(x + (wide_gap / 2 - narrow_gap) * squeeze)
            x += (wide_gap - narrow_gap) * squeeze
        return gaps[:-1]

    @staticmethod
    def _width(font: str, char: str) -> float:
        """Width of a character 1 high. Plates draw 0 narrower than O, which road signs and print do not."""
        return aspect(font, char) * (0.82 if char == "0" else 1)

    def small_print(self, text: str, x: float, y: float, height: float, colour: Colour) -> None:
        """Small flat lettering around `x` that is no part of the number: a country, a state, a motto, a dealer."""
        widths = [aspect(SMALL_PRINT, char) * height if char != " " else 0.4 * height for char in text]
        gap = 0.14 * height
        x -= (sum(widths) + gap * (len(text) - 1)) / 2
        s = self.scale
        for char, width in zip(text, widths, strict=True):
            if char != " ":
                mask = glyph(SMALL_PRINT, char, round(height * s), round(width * s))
                self.paint(mask, colour, round(y * s), round(x * s))
            x += width + gap

    def paint(self, mask: np.ndarray, colour: Colour, top: int = 0, left: int = 0) -> np.ndarray:
        """Mix `colour` in where the mask, whose corner lies at (top, left) px, says so; returns the mask cut to the
        face."""
        room = self.pixels[top : top + mask.shape[0], left : left + mask.shape[1]]
        mask = mask[: room.shape[0], : room.shape[1]]
        room += mask[..., None] * (np.array(colour, np.float32) - room)
        return mask


def vary(rng: np.random.Generator, colour: Colour) -> Colour:
    """The colour, varied as by another batch of paint and some years of sun."""
    return tuple(np.clip(np.array(colour) * rng.uniform(0.85, 1.08) + rng.normal(0, 0.02, 3), 0.02, 0.98))


def between(rng: np.random.Generator, one: Colour, other: Colour) -> Colour:
    """A colour somewhere between two."""
    return vary(rng, tuple(np.array(one) + rng.random() * (np.array(other) - np.array(one))))


def _rounded(shape: tuple[int, int], inset: float, radius: float) -> np.ndarray:
    """Mask of a rectangle with rounded corners, `inset` px inside the edges, with soft edges."""
    height, width = shape
    ys = np.abs(np.arange(height, dtype=np.float32) + 0.5 - height / 2) - (height / 2 - inset - radius)
    xs = np.abs(np.arange(width, dtype=np.float32) + 0.5 - width / 2) - (width / 2 - inset - radius)
    outside = np.hypot(np.maximum(ys, 0)[:, None], np.maximum(xs, 0)[None])
    return np.clip(radius - outside + 0.5, 0, 1)


# --- What stands around it --------------------------------------------------------------------------------------------

# of the coordinates given to OpenCV
FRACTION_BITS = 4


class Pen:
    """Draws shapes given in millimetres into a photo. `to_photo`: (3, 3), from millimetres to pixels."""

    def __init__(self, photo: np.ndarray, to_photo: np.ndarray) -> None:
        self.photo, self.to_photo = photo, to_photo
        scale = np.sqrt(abs(np.linalg.det(to_photo[:2, :2])))
        self.px_per_mm = float(scale / abs(to_photo[2, 2]))

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) mm -> (N, 1, 2) int32 in OpenCV's fractions of a pixel."""
        moved = cv2.perspectiveTransform(np.asarray(points, np.float64)[:, None], self.to_photo)
        return np.round((moved - 0.5) * 2**FRACTION_BITS).clip(-(2**20), 2**20).astype(np.int32)

    def fill(self, points: np.ndarray, colour: np.ndarray | tuple) -> None:
        cv2.fillPoly(self.photo, [self.pixels(points)], _colour(colour), cv2.LINE_AA, FRACTION_BITS)

    def line(self, points: np.ndarray, colour: np.ndarray | tuple, width_mm: float) -> None:
        width = max(1, round(width_mm * self.px_per_mm))
        cv2.polylines(self.photo, [self.pixels(points)], False, _colour(colour), width, cv2.LINE_AA, FRACTION_BITS)

    def fill_from(self, points: np.ndarray, source: np.ndarray) -> None:
        """Fill a shape with what `source`, a picture of the photo's size, shows there."""
        mask = np.zeros(self.photo.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self.pixels(points)], 255, cv2.LINE_8, FRACTION_BITS)
        cv2.copyTo(source, mask, self.photo)
        # hides the steps of the mask's edge
        self.line(np.vstack([points, points[:1]]), (24, 24, 26), 3)


def mirrored(right: np.ndarray, top: float, bottom: float) -> np.ndarray:
    """A symmetrical outline from its right side, clockwise from the upper middle."""
    rim = np.vstack([[right[0, 0] * 0.85, top], right, [right[-1, 0] * 0.9, bottom]])
    return np.vstack([rim, rim[::-1] * [-1, 1]])


def smooth(points: np.ndarray) -> np.ndarray:
    """Corners cut twice (Chaikin 1974): a polygon becomes a rounded shape."""
    for _ in range(2):
        ahead = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * ahead, 0.25 * points + 0.75 * ahead], axis=1).reshape(-1, 2)
    return points


def ellipse(centre: np.ndarray | tuple, radii: np.ndarray | tuple) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.asarray(centre) + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii


def _colour(colour: np.ndarray | tuple) -> tuple[float, ...]:
    return tuple(float(part) for part in np.clip(colour, 0, 255))


def clouds(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> np.ndarray:
    """(H, W) smooth random field in [0, 1] with about `cells` patches across."""
    small = rng.random((max(2, cells * shape[0] // shape[1] + 2), cells + 2), dtype=np.float32)
    return np.clip(cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC), 0, 1)


# --- Lines of text ----------------------------------------------------------------------------------------------------

# size at which lines are drawn before they are shrunk or grown to their place
LINE_PX = 40
SYLLABLES = [
    "ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "zo", "ar", "en", "is", "on",
    "un", "ter", "ing", "ste", "cha", "bri", "lo", "ca", "fe", "ma", "ri",
]  # fmt: skip
KNOWN = [
    "TAXI", "POLICE", "STOP", "EXIT", "SALE", "OPEN", "BANK", "HOTEL", "CAFE", "PARKING", "BUS", "SCHOOL", "MARKET",
    "PIZZA", "AMBULANCE", "AUTO", "SERVICE", "TURBO", "GTI", "SPORT", "HYBRID", "4WD", "V6", "DIESEL", "NO",
    "ENTRY", "SLOW", "GIVE", "WAY", "CENTER", "STATION", "CITY", "AIRPORT", "LIVE", "NEWS",
]  # fmt: skip


def random_line(rng: np.random.Generator, plain: bool = False) -> str:
    """A few words or numbers as they stand on signs; `plain`: only words as in running text."""
    kind = rng.random()
    if plain or kind < 0.4:
        words = ["".join(rng.choice(SYLLABLES, rng.integers(1, 5))) for _ in range(rng.integers(1, 4))]
        text = " ".join(words)
        style = 0 if plain else rng.integers(3)
        return text if style == 0 else text.upper() if style == 1 else text.title()
    if kind < 0.62:
        return " ".join(rng.choice(KNOWN, rng.integers(1, 3)))
    if kind < 0.7:
        return "".join(rng.choice(list(PROVINCES[:31]), rng.integers(2, 8)))
    digits = "".join(str(digit) for digit in rng.integers(0, 10, 14))
    forms = (
        f"{digits[:2]}.{digits[2:4]}",
        f"{digits[:4]}-{digits[4:6]}-{digits[6:8]} {digits[8:10]}:{digits[10:12]}",
        f"{digits[:3]} {digits[3:6]} {digits[6:10]}",
        f"{digits[:1]},{digits[1:3]} €",
        f"{digits[:2]}",
        f"-{digits[:2]}%",
        f"www.{rng.choice(SYLLABLES)}{rng.choice(SYLLABLES)}.com",
        f"{digits[:2]}:{digits[2:4]}",
        f"+{digits[:12]}",
        f"{digits[:1]}",
    )
    return forms[rng.integers(len(forms))]


def draw_text(
    rng: np.random.Generator,
    picture: np.ndarray,
    text: str,
    centre,
    height: float,
    colour,
    turn: float,
    widest: float = 1e9,
) -> None:
    """Draw a line of text around `centre`, its letters about `height` px high, turned by `turn` radians."""
    mask = _strokes(rng, len(text)) if rng.random() < 0.12 else _drawn_line(rng, text)
    scale = min(height / LINE_PX, widest / mask.shape[1])
    size = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    half = np.hypot(*size) / 2 + 2 if abs(turn) > 0.01 else None
    left, top = (round(float(at) - side / 2) for at, side in zip(centre, size, strict=True))
    if half:
        matrix = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), np.rad2deg(turn), 1)
        matrix[:, 2] += half - np.array(size) / 2
        mask = cv2.warpAffine(mask, matrix, (int(2 * half), int(2 * half)))
        left, top = round(float(centre[0]) - half), round(float(centre[1]) - half)
    room = picture[max(0, top) : max(0, top + mask.shape[0]), max(0, left) : max(0, left + mask.shape[1])]
    mask = to_float(mask[max(0, -top) :, max(0, -left) :][: room.shape[0], : room.shape[1], None])
    if room.size:
        room[:] = room + mask * (np.float32(colour) - room)


def _drawn_line(rng: np.random.Generator, text: str) -> np.ndarray:
    names = (HANZI,) if any(ord(char) > 0x2E80 for char in text) else font_names()
    return _line(names[rng.integers(len(names))], text)


@lru_cache(maxsize=1)
def font_names() -> tuple[str, ...]:
    """The fonts of plates, and those of print that matplotlib carries."""
    import matplotlib

    print_fonts = Path(matplotlib.get_data_path(), "fonts/ttf")
    own = tuple(str(FONT_FOLDER / name) for name in (*ROADGEEK, *NARROW, *BROAD, *FIXED))
    return own + tuple(sorted(str(path) for path in print_fonts.glob("DejaVu*.ttf") if "Display" not in path.name))


@lru_cache(maxsize=2048)
def _line(font: str, text: str) -> np.ndarray:
    face = _face(font)
    left, top, right, bottom = face.getbbox(text)
    canvas = Image.new("L", (max(2, right - left + 2), max(2, bottom - top + 2)))
    ImageDraw.Draw(canvas).text((1 - left, 1 - top), text, font=face, fill=255)
    return np.asarray(canvas)


@lru_cache(maxsize=64)
def _face(font: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font if "/" in font else FONT_FOLDER / font, LINE_PX)


def _strokes(rng: np.random.Generator, count: int) -> np.ndarray:
    """A row of signs made of random strokes: scripts that no font here has."""
    mask = np.zeros((LINE_PX, max(1, count) * LINE_PX), np.uint8)
    thick = int(rng.integers(2, 6))
    for index in range(count):
        for _ in range(rng.integers(2, 7)):
            points = rng.uniform(0.08, 0.92, (2, 2)) * LINE_PX
            if rng.random() < 0.7:
                points[1, rng.integers(2)] = points[0, rng.integers(2)]
            points[:, 0] += index * LINE_PX
            cv2.line(mask, *points.astype(int).tolist(), 255, thick, cv2.LINE_AA)
    return mask
