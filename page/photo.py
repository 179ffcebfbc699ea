"""A picture that a visitor dropped on the page: checked, shown small, and marked where its corners were clicked."""

import os
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from data.io import open_picture, to_uint8
from enhancing.finding import parse_corner

MAX_PIXELS = 50_000_000
# longer side of what the browser is shown; it could not show 16-bit or TIFF files itself
PREVIEW_PX = 1280
MARK, OUTLINE = (255, 60, 0), (255, 255, 255)

Corner = tuple[float, float]


class Photo(NamedTuple):
    """path: of the uploaded file. name: that the visitor's file had. preview: (h, w, 3) uint8. factor: px of the photo
    per px of the preview."""

    path: str
    name: str
    preview: np.ndarray
    factor: float


def accept(path: str, name: str) -> Photo:
    """Raises PictureError, with the reason, for what is no picture or has more than 50 megapixels."""
    picture = open_picture(path, max_pixels=MAX_PIXELS)
    picture = to_uint8(picture)
    factor = max(1.0, max(picture.shape[:2]) / PREVIEW_PX)
    size = [max(1, round(side / factor)) for side in picture.shape[1::-1]]
    preview = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
    return Photo(path, os.path.basename(name), preview, factor)


def add_corner(photo: Photo, text: str, x: float, y: float) -> str:
    """The corners' text with a click at (x, y) of the preview added; a fifth click begins anew."""
    words = text.split()
    words = words if len(words) < 4 else []
    return " ".join([*words, f"{x * photo.factor:.0f},{y * photo.factor:.0f}"])


def parse_corners(text: str) -> list[Corner] | None:
    """What enhance.py takes after --corners, or None for an empty text. Raises ValueError."""
    words = text.split()
    if not words:
        return None
    if len(words) != 4:
        raise ValueError(f"a plate has four corners, got {len(words)}: click the others too, or clear them")
    return [parse_corner(word) for word in words]


def marked(photo: Photo, text: str) -> np.ndarray:
    """The preview, with the corners that the text names so far; text that cannot be parsed yet is not drawn."""
    height, width = photo.preview.shape[:2]
    points = [(x / photo.factor, y / photo.factor) for x, y in _understood(text)]
    # Pillow takes long over far ones
    points = [(x, y) for x, y in points if 0 <= x <= width and 0 <= y <= height]
    if not points:
        return photo.preview
    canvas = Image.fromarray(photo.preview)
    draw = ImageDraw.Draw(canvas)
    radius = max(2, max(canvas.size) // 120)
    if len(points) > 1:
        draw.line([*points, points[0]] if len(points) == 4 else points, fill=MARK, width=max(1, radius // 3))
    for x, y in points:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=MARK, outline=OUTLINE)
    return np.asarray(canvas)


def _understood(text: str) -> list[Corner]:
    corners = []
    for word in text.split()[:4]:
        try:
            corners.append(parse_corner(word))
        except ValueError:
            break
    return corners
