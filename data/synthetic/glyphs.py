"""Characters as masks, cut from the fonts in `data/fonts` (each with its licence beside it).

A mask is (H, W) float32 in [0, 1], cut tight around the character: plates give each character a box, not a baseline.
"""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

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
# height at which characters are drawn before they are shrunk to their place
_DRAWN_PX = 128


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
    face = ImageFont.truetype(FONT_FOLDER / font, int(_DRAWN_PX * 1.4))
    canvas = Image.new("L", (3 * _DRAWN_PX, 3 * _DRAWN_PX))
    ImageDraw.Draw(canvas).text((_DRAWN_PX // 2, _DRAWN_PX // 2), char, font=face, fill=255)
    pixels = np.asarray(canvas.crop(canvas.getbbox())).astype(np.float32) / 255
    if weight:
        size = 2 * abs(weight) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        pixels = cv2.dilate(pixels, kernel) if weight > 0 else cv2.erode(pixels, kernel)
    return pixels
