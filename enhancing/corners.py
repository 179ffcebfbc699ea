"""Straightening a plate that lies askew in a larger photo, by its four corners."""

from collections.abc import Sequence

import cv2
import numpy as np

# of the plate's width and height, kept on each side; as in the tiles that generators are trained on
MARGIN = 0.1
# no plate is longer; four points of which three nearly lie on a line would ask for anything
MAX_ASPECT = 8.0


def parse_corner(text: str) -> tuple[float, float]:
    """ "12,34.5" -> (12.0, 34.5). Raises ValueError."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"a corner is given as x,y in pixels of the photo, got {text!r}") from None
    return x, y


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
    if (points < 0).any() or (points > (width, height)).any():
        raise ValueError(f"corners {_listed(points)} lie outside the photo of {width} x {height}")
    bottom_right, bottom_left, top_left, top_right = points
    plate_w = max(np.linalg.norm(top_right - top_left), np.linalg.norm(bottom_right - bottom_left))
    plate_h = max(np.linalg.norm(bottom_left - top_left), np.linalg.norm(bottom_right - top_right))
    plate_h = np.clip(plate_h, plate_w / MAX_ASPECT, plate_w * MAX_ASPECT)
    enlarged = max(1.0, min_width / (plate_w * (1 + 2 * MARGIN)))
    inner = np.array([[1, 1], [0, 1], [0, 0], [1, 0]], np.float64) + MARGIN
    target = inner * (plate_w * enlarged, plate_h * enlarged)
    size = [round(side * enlarged * (1 + 2 * MARGIN)) for side in (plate_w, plate_h)]
    matrix = cv2.getPerspectiveTransform(points.astype(np.float32), target.astype(np.float32))
    straight = cv2.warpPerspective(photo, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return (np.clip(straight, 0, 1) if straight.dtype == np.float32 else straight), float(plate_w)


def _listed(points: np.ndarray) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)
