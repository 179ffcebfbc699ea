"""Writing, drawn from the fonts in `data/fonts` (each with its licence beside it): single characters, and whole lines.

A plate gives each character a box, not a baseline: a character's mask is (H, W) float32 in [0, 1], cut tight around it.
Lines are what is no registration number: words, prices, dates, telephone numbers, what only looks like writing.
"""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data.ccpd import PROVINCES
from data.io import to_float

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
