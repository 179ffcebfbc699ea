"""Cuts the window around a plate out of a photo, at the tile's aspect and the photo's own resolution, then resizes
it."""

import cv2
import numpy as np

from data.ccpd import Corners


def crop_plate(
    photo: np.ndarray, corners: Corners, tile: tuple[int, int] = (96, 192), margin: float = 0.1
) -> tuple[np.ndarray, np.ndarray, float]:
    """(H, W, 3) uint8 photo -> (tile uint8 of the size `tile`, corners in tile pixels (4, 2) float64, plate width in
    px).

    The window holds all four corners with `margin` of the plate's width (or height) on each side. A window that leaves
    the photo is shifted inside; where the photo is smaller than the window, the rest is reflected. The width returned
    is that in the photo, so that a caller can tell a tile that was enlarged. Raises ValueError for corners outside the
    photo or no area.
    """
    height, width = photo.shape[:2]
    points = check_corners(corners, height, width)
    low, high = points.min(axis=0), points.max(axis=0)
    window_w, window_h = _window_size(high - low, tile, margin)
    left, top = (low + high - (window_w, window_h)) / 2
    left, top = _inside(left, window_w, width), _inside(top, window_h, height)
    cut = _cut(photo, round(left), round(top), window_w, window_h)
    shrinks = window_w > tile[1]
    resized = cv2.resize(cut, tile[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    moved = (points - (round(left), round(top))) * (tile[1] / window_w, tile[0] / window_h)
    return resized, moved, plate_width(points)


def check_corners(corners: Corners, height: int, width: int) -> np.ndarray:
    """(4, 2) float64. Raises ValueError for corners outside a photo of this size, or no area between them."""
    points = np.asarray(corners, float)
    if (points < 0).any() or (points[:, 0] > width).any() or (points[:, 1] > height).any():
        raise ValueError(f"corners outside the photo of {width}x{height}")
    if (np.ptp(points, axis=0) < 2).any():
        raise ValueError("corners enclose no area")
    return points


def plate_width(points: np.ndarray) -> float:
    """Mean length in px of the plate's upper and lower edge."""
    bottom_right, bottom_left, top_left, top_right = np.asarray(points, float)
    return float((np.linalg.norm(bottom_right - bottom_left) + np.linalg.norm(top_right - top_left)) / 2)


def _window_size(box: np.ndarray, tile: tuple[int, int], margin: float) -> tuple[int, int]:
    """Smallest (width, height) of the tile's aspect that holds the box and its margins."""
    aspect = tile[1] / tile[0]
    wanted_w, wanted_h = box * (1 + 2 * margin)
    window_w = max(wanted_w, wanted_h * aspect)
    return round(window_w), round(window_w / aspect)


def _inside(start: float, size: int, limit: int) -> float:
    """The start of a window shifted inside the photo; centred where the window is the larger one."""
    return (limit - size) / 2 if size > limit else min(max(start, 0), limit - size)


def _cut(photo: np.ndarray, left: int, top: int, width: int, height: int) -> np.ndarray:
    photo_h, photo_w = photo.shape[:2]
    before = max(0, -left), max(0, -top)
    after = max(0, left + width - photo_w), max(0, top + height - photo_h)
    inside = photo[max(0, top) : top + height, max(0, left) : left + width]
    if not any(before + after):
        return inside
    return cv2.copyMakeBorder(inside, before[1], after[1], before[0], after[0], cv2.BORDER_REFLECT_101)
