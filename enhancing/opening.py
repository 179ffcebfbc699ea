"""From a file, or a picture in memory, to what the generator takes: opened, cut or straightened, scaled."""

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from data.ccpd import is_ccpd_name, parse_name
from data.crop import crop_plate
from data.io import open_picture, to_float
from models.enhancer import Generator, to_working_size

# times the generator's width: averaging 8 x 8 bytes more leaves nothing of their rounding
FINEST = 8
# of the plate's width and height, kept on each side; as in the tiles that generators are trained on
MARGIN = 0.1
# no plate is longer; four points of which three nearly lie on a line would ask for anything
MAX_ASPECT = 8.0
# of a straightened plate with its margin: corners over all of a huge photo would ask for more memory than there is
MAX_STRAIGHT_PX = 8_000_000

Corners = Sequence[tuple[float, float]]


class Source(NamedTuple):
    """lq: the generator's input, (h, w, 3) float32 in [0, 1]. size: (height, width) of the picture or of the plate cut
    from it, which the result shall have at least. native_width: px across which the camera saw it. file_size: of the
    whole picture. plate: gives the picture or the plate cut from it at its own size, (H, W, 3), uint8 or float32."""

    lq: np.ndarray
    size: tuple[int, int]
    native_width: float
    file_size: tuple[int, int]
    plate: Callable[[], np.ndarray]


def load_source(generator: Generator, path: str, corners: Corners | None = None) -> Source:
    """Raises PictureError for a file that is no picture, ValueError for corners that are outside it.

    A source is small: the few pictures larger than the generator's input are opened again where their own size is
    needed.
    """
    name = os.path.basename(path)

    def plate() -> np.ndarray:
        return _plate(generator, open_picture(path), corners, name)[0]

    return make_source(generator, open_picture(path), corners, name)._replace(plate=plate)


def make_source(generator: Generator, picture: np.ndarray, corners: Corners | None = None, name: str = "") -> Source:
    """picture: (H, W, 3), uint8 or float32 in [0, 1]. corners: of a plate to straighten, in any order. name: a CCPD
    photo is cropped by its name, unless corners are given."""
    plate, native_width = _plate(generator, picture, corners, name)
    lq = to_working_size(generator, to_float(_bounded(generator, plate)))
    return Source(lq, plate.shape[:2], native_width, picture.shape[:2], lambda: plate)


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


def in_order(corners: Sequence[tuple[float, float]]) -> np.ndarray:
    """Four corners in any order -> (4, 2) in CCPD's: bottom right, bottom left, top left, top right of a plate that is
    read from left to right. Raises ValueError where they do not make a quadrangle."""
    points = np.asarray(corners, np.float64)
    if points.shape != (4, 2) or not np.isfinite(points).all():
        raise ValueError(f"four corners x,y are needed, got {corners}")
    offsets = points - points.mean(axis=0)
    clockwise = points[np.argsort(np.arctan2(offsets[:, 1], offsets[:, 0]))]
    if not cv2.isContourConvex(clockwise.astype(np.float32)) or cv2.contourArea(clockwise.astype(np.float32)) < 4:
        raise ValueError(f"the corners enclose no quadrangle: {_listed(points)}")
    # of the four ways to begin, the one whose upper and lower edge run most to the right
    turns = [np.roll(clockwise, turn, axis=0) for turn in range(4)]
    return max(turns, key=lambda p: (p[3] - p[2] + p[0] - p[1])[0])


def straighten(photo: np.ndarray, corners: Sequence[tuple[float, float]], min_width: int) -> tuple[np.ndarray, float]:
    """(H, W, 3) photo -> (the plate and a margin, upright, in the photo's own resolution or `min_width` wide if that is
    more, and the plate's width in px of the photo). Raises ValueError for corners outside the photo."""
    points = in_order(corners)
    height, width = photo.shape[:2]
    # half a pixel more: corners that were rounded, or brought to another size
    if (points < -0.5).any() or (points > (width + 0.5, height + 0.5)).any():
        raise ValueError(f"corners {_listed(points)} lie outside the photo of {width} x {height}")
    bottom_right, bottom_left, top_left, top_right = points
    plate_w = max(np.linalg.norm(top_right - top_left), np.linalg.norm(bottom_right - bottom_left))
    plate_h = max(np.linalg.norm(bottom_left - top_left), np.linalg.norm(bottom_right - top_right))
    plate_h = np.clip(plate_h, plate_w / MAX_ASPECT, plate_w * MAX_ASPECT)
    shrunk = np.sqrt(MAX_STRAIGHT_PX / (plate_w * plate_h * (1 + 2 * MARGIN) ** 2))
    if shrunk < 1:
        smaller = cv2.resize(photo, None, fx=shrunk, fy=shrunk, interpolation=cv2.INTER_AREA)
        straight, width_in_smaller = straighten(smaller, points * shrunk, min_width)
        return straight, width_in_smaller / shrunk
    enlarged = max(1.0, min_width / (plate_w * (1 + 2 * MARGIN)))
    inner = np.array([[1, 1], [0, 1], [0, 0], [1, 0]], np.float64) + MARGIN
    target = inner * (plate_w * enlarged, plate_h * enlarged)
    size = [round(side * enlarged * (1 + 2 * MARGIN)) for side in (plate_w, plate_h)]
    matrix = cv2.getPerspectiveTransform(points.astype(np.float32), target.astype(np.float32))
    straight = cv2.warpPerspective(photo, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return (np.clip(straight, 0, 1) if straight.dtype == np.float32 else straight), float(plate_w)


def _listed(points: np.ndarray) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)
