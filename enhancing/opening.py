"""Prepares the generator's input from a file or a picture: opens it, finds and straightens its plates, scales them."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from data.ccpd import is_ccpd_name, parse_name
from data.io import open_picture, picture_size, to_float, to_uint8
from data.straighten import in_tile, plate_aspect, plate_size, straighten
from models.detector import HINT, Detection, Detector, find_plates, is_wide
from models.enhancer import Generator, to_working_size
from reading.reader import has_gap

# times the generator's width: averaging 8 x 8 bytes more leaves nothing of their rounding
FINEST = 8
# of a straightened plate with its margin: corners over all of a huge photo would ask for more memory than there is
MAX_STRAIGHT_PX = 8_000_000
# the detector's probability of two lines from which a plate is read as two lines
TWO_LINES = 0.5
# a picture taken whole may hold two lines if it is less long than this
TWO_LINES_ASPECT = 2.0
# of a plate whose corners are given: China's of two lines are 2.0, and nobody drags corners exactly
TWO_LINES_LONGEST = 2.5
# height over width from which corners are those of a plate on its side, not of one seen from aside
ON_ITS_SIDE = 2.0
NO_PLATE = "no plate found: give its corners with --corners, or take the picture as one plate with --whole"


class NoPlateFound(ValueError):
    """The detector sees no plate, and the picture does not have the shape of one."""

    def __init__(self) -> None:
        super().__init__(NO_PLATE)


Corners = Sequence[tuple[float, float]]


class Source(NamedTuple):
    """lq: the generator's input, (h, w, 3) float32 in [0, 1]. size: (height, width) of the picture or of the
    straightened plate, the least size of the result. native_width: px that the camera had across it. file_size: of the
    whole picture. plate: gives the picture or the straightened plate at its own size, (H, W, 3), uint8 or float32.
    corners: (4, 2), where the plate lies in the picture; None where that is taken whole. found: the detector's answer,
    if it looked for plates. two_lines: whether the plate is read as two lines. lines: (4, 2), the corners around these
    in a picture taken whole, as shares of its width and height; None for all of it. unsure: taken whole since no plate
    is sure in it, and not because the user said so. as_stored: the corners are those of the pixels as stored, not
    turned as EXIF says."""

    lq: np.ndarray
    size: tuple[int, int]
    native_width: float
    file_size: tuple[int, int]
    plate: Callable[[], np.ndarray]
    corners: np.ndarray | None = None
    found: Detection | None = None
    two_lines: bool = False
    lines: np.ndarray | None = None
    unsure: bool = False
    as_stored: bool = False

    def turned(self) -> "Source":
        """The same plate, turned by 180 degrees."""
        corners = None if self.corners is None else np.roll(self.corners, 2, axis=0)
        lines = None if self.lines is None else np.roll(1 - self.lines, 2, axis=0)
        lq, plate = _upside_down(self.lq), lambda: _upside_down(self.plate())
        return self._replace(lq=lq, plate=plate, corners=corners, lines=lines)


def load_sources(
    generator: Generator,
    path: str,
    corners: Corners | None = None,
    detector: Detector | None = None,
    name: str = "",
    layout: Detector | None = None,
) -> list[Source]:
    """The plates of a file, best first. name: of the file where it was, if it is kept under another. layout: as for
    `find_sources`. Raises PictureError for a file that is no picture, ValueError for corners that are outside it,
    NoPlateFound.

    A source is small: the few pictures larger than the generator's input are opened again where their own size is
    needed.
    """
    name = name or os.path.basename(path)
    as_stored = is_annotated_as_stored(path, corners, name)
    sources = find_sources(generator, open_picture(path, upright=not as_stored), corners, name, detector, layout)

    def again(source: Source) -> Callable[[], np.ndarray]:
        return lambda: _at_own_size(open_picture(path, upright=not as_stored), source.corners, source.size)

    return [source._replace(plate=again(source), as_stored=as_stored) for source in sources]


def is_annotated_as_stored(path: str, corners: Corners | None, name: str) -> bool:
    """Whether the corners come from a CCPD name, which gives them in the pixels as they are stored. Those of a user are
    in the upright picture. Raises PictureError."""
    return corners is None and is_ccpd_name(name) and _named_corners(picture_size(path), name) is not None


def find_sources(
    generator: Generator,
    picture: np.ndarray,
    corners: Corners | None = None,
    name: str = "",
    detector: Detector | None = None,
    layout: Detector | None = None,
) -> list[Source]:
    """As `make_source`; but the detector, if there is one, looks for plates if neither corners nor the name say where
    they are. layout: says of one that is not found, but given or taken whole, whether it has two lines."""
    if detector is None or corners is not None or _named_corners(picture.shape[:2], name) is not None:
        return [_with_lines(make_source(generator, picture, corners, name), layout)]
    located = find_plates(picture, detector)
    if located.whole:
        return [_with_lines(make_source(generator, picture), layout)._replace(unsure=not located.plates)]
    if not located.plates:
        raise NoPlateFound
    return [_straightened(generator, picture, plate.corners, plate) for plate in located.plates]


def make_source(generator: Generator, picture: np.ndarray, corners: Corners | None = None, name: str = "") -> Source:
    """picture: (H, W, 3), uint8 or float32 in [0, 1]. corners: of a plate to straighten, in any order. name: a CCPD
    photo is straightened by its name, unless corners are given. Without either, the picture is taken whole."""
    height, width = picture.shape[:2]
    if corners is not None:
        points = in_order(corners)
        # half a pixel of tolerance, for corners that were rounded or rescaled
        if (points < -0.5).any() or (points > (width + 0.5, height + 0.5)).any():
            raise ValueError(f"corners {_listed(points)} lie outside the photo of {width} x {height}")
        return _straightened(generator, picture, points)
    if (named := _named_corners(picture.shape[:2], name)) is not None:
        return _straightened(generator, picture, named)
    lq = to_working_size(generator, to_float(_bounded(generator, picture)))
    two_lines = width / height < TWO_LINES_ASPECT and has_gap(lq)
    return Source(lq, (height, width), float(width), (height, width), lambda: picture, two_lines=two_lines)


def _with_lines(source: Source, layout: Detector | None) -> Source:
    """The source, read as two lines where the detector sees them."""
    height, width = source.lq.shape[:2]
    if layout is None or source.two_lines:
        return source
    if source.corners is not None:
        if plate_aspect(source.corners) > TWO_LINES_LONGEST:
            return source
        given = Detection(in_tile(source.corners, (height, width)), 1.0, 0.0, 0.0)
        return source._replace(two_lines=layout.second_look(to_uint8(source.lq), given).two_lines >= TWO_LINES)
    if width >= TWO_LINES_ASPECT * height:
        return source
    best = next((plate for plate in layout.detect(source.lq, HINT) if is_wide(plate, source.lq)), None)
    if best is None or best.two_lines < TWO_LINES:
        return source
    return source._replace(two_lines=True, lines=best.corners / (width, height))


def _straightened(
    generator: Generator, picture: np.ndarray, corners: np.ndarray, found: Detection | None = None
) -> Source:
    """The plate as training showed such plates: in a window, if it fits into one, else in a tile."""
    tile = generator.tile_for(corners)
    native = plate_size(corners)[0] * tile[1] / float(np.ptp(in_tile(corners, tile)[:, 0]))
    enlarged = max(1.0, min(native / tile[1], np.sqrt(MAX_STRAIGHT_PX / (tile[0] * tile[1]))))
    size = round(tile[0] * enlarged), round(tile[1] * enlarged)
    lq = to_working_size(generator, to_float(straighten(picture, corners, tile)))
    plate = partial(_at_own_size, picture, corners, size)
    two_lines = found is not None and found.two_lines >= TWO_LINES
    return Source(lq, size, native, picture.shape[:2], plate, corners, found, two_lines)


def _upside_down(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture[::-1, ::-1])


def _at_own_size(picture: np.ndarray, corners: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
    return picture if corners is None else straighten(picture, corners, size)


def _named_corners(size: tuple[int, int], name: str) -> np.ndarray | None:
    """The corners in the name of a CCPD photo of this (height, width). None for other names, and where the corners lie
    outside: the name of a photo, kept by a picture of the plate alone."""
    if not is_ccpd_name(name):
        return None
    corners = np.array(parse_name(name).corners)
    inside = (corners >= 0).all() and (corners <= size[::-1]).all()
    return corners if inside and (np.ptp(corners, axis=0) >= 2).all() else None


def _bounded(generator: Generator, plate: np.ndarray) -> np.ndarray:
    """A picture of many megapixels, shrunk as bytes as far as nothing is lost: floats would take four times the
    memory."""
    most = FINEST * generator.width_px
    height, width = plate.shape[:2]
    if plate.dtype != np.uint8 or min(height, width) <= most:
        return plate
    factor = most / min(height, width)
    return cv2.resize(plate, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)


def in_order(corners: Sequence[tuple[float, float]]) -> np.ndarray:
    """Four corners in any order -> (4, 2) in CCPD's: bottom right, bottom left, top left, top right of a plate that is
    read from left to right; of one that lies on its side, upwards, as a picture shows it that was turned to the left.
    Raises ValueError where they do not make a quadrangle."""
    points = np.asarray(corners, np.float64)
    if points.shape != (4, 2) or not np.isfinite(points).all():
        raise ValueError(f"four corners x,y are needed, got {corners}")
    offsets = points - points.mean(axis=0)
    clockwise = points[np.argsort(np.arctan2(offsets[:, 1], offsets[:, 0]))]
    if not cv2.isContourConvex(clockwise.astype(np.float32)) or cv2.contourArea(clockwise.astype(np.float32)) < 4:
        raise ValueError(f"the corners enclose no quadrangle: {_listed(points)}")
    # of the four ways to begin, the one whose upper and lower edge run most to the right
    turns = [np.roll(clockwise, turn, axis=0) for turn in range(4)]
    ordered = max(turns, key=lambda p: (p[3] - p[2] + p[0] - p[1])[0])
    width, height = plate_size(ordered)
    return np.roll(ordered, 1, axis=0) if height > ON_ITS_SIDE * width else ordered


def _listed(points: np.ndarray) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)
