"""Results for the browser: enlarged for viewing, and at full size as PNG files to download."""

import os
import tempfile

import numpy as np

from data.io import to_uint8
from enhancing.drawing import heat_map
from enhancing.writing import write_picture
from models.enhancer import resize

# width at which pictures are shown: a tile of 192 px is too small to look at
SHOWN_PX = 768


def pair(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two float pictures of one plate -> bytes of one size, for the slider."""
    return shown(before, after.shape[:2]), shown(after, after.shape[:2])


def shown(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A float picture as bytes, at `size` times what the eye needs."""
    height, width = size
    factor = max(1.0, SHOWN_PX / width)
    return to_uint8(resize(picture, round(height * factor), round(width * factor)))


def heat(disagreement: np.ndarray) -> np.ndarray:
    """(h, w) -> the coloured map, as bytes."""
    height, width = disagreement.shape
    factor = max(1.0, SHOWN_PX / width)
    return to_uint8(heat_map(disagreement, (round(height * factor), round(width * factor))))


def to_download(folder: str, stem: str, picture: np.ndarray) -> str:
    """The path of a PNG named after the visitor's file, in a folder of its own below `folder`, which the page
    empties."""
    own = tempfile.mkdtemp(dir=folder)
    name = f"{stem or 'plate'}.png"
    write_picture(own, name, picture)
    return os.path.join(own, name)
