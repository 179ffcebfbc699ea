"""Decides where the plates of a picture are, or that it is taken whole: one rule for files, films and the page.

A tight crop must never come out worse than taken whole. So a crop is taken as it is where the detector is unsure, and
where the plate already lies in it nearly as in a tile: straightening could change little, and add the corners' errors.
Otherwise a picture without a plate is said to hold none.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from models.detector import SURELY_TWO_LINES, Detector, Plate, load_detector

# width over height, and px of the longer side, of a picture that may be a crop of one plate
CROP_ASPECT, CROP_PX = (1.6, 8.0), 420
# so long a picture is a crop at larger sizes, too
LONG_ASPECT, LONG_PX = 2.5, 1400
# a candidate of this score may be no plate, but suggests a crop if it fills this share of the picture's width
HINT, HINT_SHARE = 0.25, 0.5
# of a plate in a crop that needs no straightening: share of the picture's width and height at most, tilt in degrees
FRAMED_WIDTH, FRAMED_HEIGHT, FRAMED_TILT = 0.92, 0.8, 3.0

# chance of lying upside down: below, it does not, above, it does and is turned; between, nobody can tell
TURNED = 0.3, 0.9


class Located(NamedTuple):
    """plates: the sure ones, best first. whole: the picture is taken whole, as a crop of one plate. Neither: no
    plate."""

    plates: tuple[Plate, ...]
    whole: bool = False


def find_plates(picture: np.ndarray, detector: Detector) -> Located:
    """picture: (H, W, 3), uint8 or float32 in [0, 1]. Corners go by how a plate is read: one upside down is turned."""
    found = [upright(plate) for plate in detector.detect(picture, HINT)]
    sure = [plate for plate in found if plate.is_sure]
    if sure:
        return Located(tuple(sure), has_crop_shape(picture) and is_framed(sure[0], picture))
    width = picture.shape[1]
    return Located(
        (), has_crop_shape(picture) or any(np.ptp(plate.corners[:, 0]) > HINT_SHARE * width for plate in found)
    )


def surest_corners(picture: np.ndarray) -> np.ndarray | None:
    """The corners of the surest plate by the shipped detector, on one thread; None where there is no sure one."""
    plates = find_plates(picture, load_detector(threads=1)).plates
    return plates[0].corners if plates else None


def has_crop_shape(picture: np.ndarray) -> bool:
    """Whether the picture could be a crop of one plate, by its size and proportions alone."""
    height, width = picture.shape[:2]
    aspect = width / height
    if not CROP_ASPECT[0] <= aspect <= CROP_ASPECT[1]:
        return False
    return width <= (LONG_PX if aspect >= LONG_ASPECT else CROP_PX)


def is_framed(plate: Plate, picture: np.ndarray) -> bool:
    """Whether a plate of one line lies in the picture nearly as in a tile: upright, with room around it."""
    if plate.two_lines > SURELY_TWO_LINES:
        return False
    height, width = picture.shape[:2]
    wide, high = np.ptp(plate.corners, axis=0)
    right, down = plate.corners[3] - plate.corners[2]
    level = right > 0 and abs(np.degrees(np.arctan2(down, right))) <= FRAMED_TILT
    return bool(level and wide <= FRAMED_WIDTH * width and high <= FRAMED_HEIGHT * height)


def upright(plate: Plate) -> Plate:
    """The plate with its corners as it is read, where it surely lies upside down in the picture."""
    if plate.turned_over <= TURNED[1]:
        return plate
    return replace(plate, corners=np.roll(plate.corners, 2, axis=0))
