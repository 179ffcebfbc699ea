"""From a file, or a picture in memory, to what the generator takes: opened, cut or straightened, scaled."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from data.ccpd import is_ccpd_name, parse_name
from data.crop import crop_plate
from data.io import open_picture, to_float
from enhancing.corners import straighten
from models.enhancer import Generator, to_working_size

# times the generator's width: averaging 8 x 8 bytes more leaves nothing of their rounding
FINEST = 8
Corners = Sequence[tuple[float, float]]


class Source(NamedTuple):
    """lq: the generator's input, (h, w, 3) float32 in [0, 1]. size: (height, width) of the picture or of the plate cut
    from it, which the result shall have at least. native_width: px across which the camera saw it. file_size: of the
    whole picture."""

    lq: np.ndarray
    size: tuple[int, int]
    native_width: float
    file_size: tuple[int, int]


def load_source(generator: Generator, path: str, corners: Corners | None = None) -> Source:
    """Raises PictureError for a file that is no picture, ValueError for corners that are outside it."""
    return make_source(generator, open_picture(path), corners, os.path.basename(path))


def make_source(generator: Generator, picture: np.ndarray, corners: Corners | None = None, name: str = "") -> Source:
    """picture: (H, W, 3), uint8 or float32 in [0, 1]. corners: of a plate to straighten, in any order. name: a CCPD
    photo is cropped by its name, unless corners are given."""
    plate, native_width = _plate(generator, picture, corners, name)
    lq = to_working_size(generator, to_float(_bounded(generator, plate)))
    return Source(lq, plate.shape[:2], native_width, picture.shape[:2])


def _plate(generator: Generator, picture: np.ndarray, corners: Corners | None, name: str) -> tuple[np.ndarray, float]:
    """The plate with what is around it, and its width in px of the camera."""
    whole = picture, float(picture.shape[1])
    if corners is not None:
        return straighten(picture, corners, generator.width_px)
    if not is_ccpd_name(name):
        return whole
    tile = (generator.width_px // 2, generator.width_px)
    try:
        plate, in_tile, plate_width = crop_plate(picture, parse_name(name).corners, tile)
    # the name of a photo, kept by a picture of the plate alone
    except ValueError:
        return whole
    plate = np.clip(plate, 0, 1) if plate.dtype == np.float32 else plate
    return plate, plate_width * generator.width_px / float(np.ptp(in_tile[:, 0]))


def _bounded(generator: Generator, plate: np.ndarray) -> np.ndarray:
    """A picture of many megapixels, shrunk as bytes to what loses nothing: floats would take four times its memory."""
    most = FINEST * generator.width_px
    height, width = plate.shape[:2]
    if plate.dtype != np.uint8 or min(height, width) <= most:
        return plate
    factor = most / min(height, width)
    return cv2.resize(plate, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
