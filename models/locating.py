"""Decides where the plates of a picture are, or that it is taken whole: one rule for files, films and the page.

A tight crop must never come out worse than taken whole. So where the detector is unsure and the picture has a plate's
shape, the picture is taken as it is. Otherwise a picture without a plate is said to hold none.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from models.detector import Detector, Plate, load_detector

# width over height, and px of the longer side, of a picture that may be a crop of one plate
CROP_ASPECT, CROP_PX = (1.6, 8.0), 420
# so long a picture is a crop at larger sizes, too
LONG_ASPECT, LONG_PX = 2.5, 1400
# a candidate of this score may be no plate, but suggests a crop if it fills this share of the picture's width
HINT, HINT_SHARE = 0.25, 0.5


# chance of lying upside down: below, it does not, above, it does and is turned; between, nobody can tell
TURNED = 0.3, 0.9


class Located(NamedTuple):
    """plates: best first. whole: none is sure, but the picture looks like a crop of one plate. Neither: no plate."""

    plates: tuple[Plate, ...]
    whole: bool = False


def find_plates(picture: np.ndarray, detector: Detector) -> Located:
    """picture: (H, W, 3), uint8 or float32 in [0, 1]. Corners go by how a plate is read: one upside down is turned."""
    found = [upright(plate) for plate in detector.detect(picture, HINT)]
    sure = [plate for plate in found if plate.is_sure]
    if sure:
        return Located(tuple(sure))
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


def upright(plate: Plate) -> Plate:
    """The plate with its corners as it is read, where it surely lies upside down in the picture."""
    if plate.turned_over <= TURNED[1]:
        return plate
    return replace(plate, corners=np.roll(plate.corners, 2, axis=0))
