"""Frames a plate by its four corners: straightened as generators are trained on it, or cut out of the photo as is.

Corners are (x, y) px of the picture in CCPD's order, from the bottom right clockwise as the plate is read; the pixel
(0, 0) covers the square from (0, 0) to (1, 1). To `straighten`, they may lie outside the picture. Pictures are
(H, W, 3), uint8 or float32 in [0, 1].
"""

import cv2
import numpy as np

from data.ccpd import Corners
from data.io import to_float
from data.tiles import TILE

# of the tile that the plate takes: of its width, and of its height at most
WIDTH_SHARE, HEIGHT_SHARE = 0.8, 0.85
# width over height: no plate is longer or higher; corners nearly on a line would ask for anything
FLATTEST, TALLEST = 8.0, 0.8
# tiles for tall plates grow by this
STEP_PX = 16
# the least part of its usual width that a plate takes in a window of training so that it fits into one
LEAST_SHARE = 0.75
# height, width and margins at the left and right of the plate in which leaning strokes are sought; how far they may
# lean, px to the side for each px of height; degrees from which on it counts; how much sharper the columns must become
LEAN_PX, LEAN_MARGIN_PX, LEANS = (48, 192), 14, np.linspace(-0.5, 0.5, 41)
LEAST_LEAN, LEAST_GAIN = 5.0, 1.3
# px of the picture for one of the tile, from which on they are averaged
SHRUNK_FROM = 1.25


def straighten(picture: np.ndarray, corners: np.ndarray, tile: tuple[int, int] = TILE) -> np.ndarray:
    """The tile (height, width, 3), of the picture's type: the plate upright in the middle, in its own proportions.

    Beyond the picture's border, soft colours continue it: mirroring or stretching would continue the strokes of
    characters, too. Raises ValueError for corners that enclose no quadrangle.
    """
    matrix = to_tile(corners, tile)
    drawn_out = warp(picture, matrix, tile, cv2.BORDER_REPLICATE)
    seen = seen_by(matrix, tile)
    if (seen >= 0).all() and (seen <= picture.shape[1::-1]).all():
        return drawn_out
    inside = warp(np.ones(picture.shape[:2], np.float32), matrix, tile, cv2.BORDER_CONSTANT).clip(0, 1)
    soft = _softened(drawn_out if tile[1] <= TILE[1] else _at_usual_size(picture, corners, tile), tile)
    mixed = soft + inside[..., None] * (drawn_out.astype(np.float32) - soft)
    return mixed.round().astype(np.uint8) if picture.dtype == np.uint8 else mixed


def _at_usual_size(picture: np.ndarray, corners: np.ndarray, tile: tuple[int, int]) -> np.ndarray:
    """What a tile of the usual width draws out: the last pixel of a large picture may differ from all that lies near
    it, and a plate's surroundings must be the same at each size."""
    usual = max(1, round(tile[0] * TILE[1] / tile[1])), TILE[1]
    return warp(picture, to_tile(corners, usual), usual, cv2.BORDER_REPLICATE)


def _softened(tile: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Blurred over a twelfth of its width, at an eighth of its size: nothing is lost, and the time does not grow. Then
    brought to `size`, (height, width)."""
    height, width = tile.shape[:2]
    small = cv2.resize(tile, (max(1, width // 8), max(1, height // 8)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(0.5, small.shape[1] / 12))
    return cv2.resize(small, size[::-1], interpolation=cv2.INTER_LINEAR)


def to_tile(corners: np.ndarray, tile: tuple[int, int] = TILE) -> np.ndarray:
    """(3, 3): the homography from the picture to the tile. Its inverse puts the tile back."""
    return homography(corners, in_tile(corners, tile))


def in_tile(corners: np.ndarray, tile: tuple[int, int] = TILE) -> np.ndarray:
    """(4, 2): where the plate's corners lie in its tile."""
    aspect = plate_aspect(corners)
    height, width = tile
    plate_w = min(WIDTH_SHARE * width, HEIGHT_SHARE * height * aspect)
    return rectangle(plate_w, plate_w / aspect, (width / 2, height / 2))


def rectangle(width: float, height: float, middle: tuple[float, float] = (0, 0)) -> np.ndarray:
    """(4, 2): the corners of a plate that stands upright, around its middle."""
    return np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (np.array([width, height]) / 2) + middle


def tile_size(corners: np.ndarray, tile: tuple[int, int] = TILE, window_px: int = 0) -> tuple[int, int]:
    """The tile for this plate: of the height of training's windows, `window_px`, if the plate fits into one; else
    `tile`, or a higher one where the plate, as wide as in all tiles, needs it."""
    height, width = tile
    aspect = plate_aspect(corners)
    if 0 < window_px < height and HEIGHT_SHARE * window_px * aspect >= LEAST_SHARE * WIDTH_SHARE * width:
        return window_px, width
    needed = WIDTH_SHARE * width / aspect / HEIGHT_SHARE
    return max(height, int(np.ceil(needed / STEP_PX)) * STEP_PX), width


def plate_aspect(corners: np.ndarray) -> float:
    """Width over height, as far as four corners tell it: of the mean lengths of opposite edges."""
    width, height = plate_size(corners)
    return float(np.clip(width / max(height, 1e-6), TALLEST, FLATTEST))


def plate_size(corners: np.ndarray) -> tuple[float, float]:
    """Mean lengths in px of the upper and lower edge, and of the left and right one."""
    bottom_right, bottom_left, top_left, top_right = np.asarray(corners, np.float64)
    across = np.linalg.norm(bottom_right - bottom_left), np.linalg.norm(top_right - top_left)
    down = np.linalg.norm(bottom_right - top_right), np.linalg.norm(bottom_left - top_left)
    return float(np.mean(across)), float(np.mean(down))


def plate_width(corners: np.ndarray) -> float:
    """Mean length in px of the plate's upper and lower edge."""
    return plate_size(corners)[0]


def with_lean(picture: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(4, 2) -> the corners of the same plate of one line, moved to the side until the strokes of its characters stand
    upright; as they are, where it is not plain that they lean.

    Seen aside and from above, a plate becomes a parallelogram. The mean of each column of the straightened plate
    changes most from column to column when the strokes are upright.
    """
    height, width = LEAN_PX
    place = np.array([[1, 1], [0, 1], [0, 0], [1, 0]]) * (width - 2 * LEAN_MARGIN_PX, height) + (LEAN_MARGIN_PX, 0)
    matrix = homography(corners, place)
    window = to_float(warp(picture, matrix, LEAN_PX, cv2.BORDER_REPLICATE))
    # without the plate's upper and lower edge
    rows = window.mean(axis=2)[4:-4]
    changes = [_change_of_columns(rows, lean) for lean in LEANS]
    lean, plate = LEANS[int(np.argmax(changes))], plate_size(corners)
    degrees = np.degrees(np.arctan(lean * plate[0] / np.ptp(place[:, 0]) * height / max(plate[1], 1e-6)))
    if abs(degrees) < LEAST_LEAN or max(changes) <= LEAST_GAIN * changes[len(LEANS) // 2]:
        return np.asarray(corners, np.float64)
    leaning = place - np.column_stack([lean * (place[:, 1] - height / 2), np.zeros(4)])
    return cv2.perspectiveTransform(leaning[None], np.linalg.inv(matrix))[0]


def _change_of_columns(rows: np.ndarray, lean: float) -> float:
    """How much the columns' means differ from one to the next, when the rows are moved to the side."""
    height, width = rows.shape
    moved = np.float32([[1, lean, -lean * (height - 1) / 2], [0, 1, 0]])
    upright = cv2.warpAffine(rows, moved, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return float(np.square(np.diff(upright.mean(axis=0))).sum())


def homography(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(3, 3) that takes four points to four others. Raises ValueError where three of a side lie on a line."""
    source, target = np.float32(source), np.float32(target)
    for points in (source, target):
        if points.shape != (4, 2) or not np.isfinite(points).all() or not cv2.isContourConvex(points):
            raise ValueError(f"four corners of a quadrangle are needed, got {points.tolist()}")
    return cv2.getPerspectiveTransform(source, target)


def warp(picture: np.ndarray, matrix: np.ndarray, size: tuple[int, int], border: int, value: float = 0) -> np.ndarray:
    """The picture seen through `matrix`, (height, width) = `size`: averaged where it shrinks, cubic where it grows.

    border: OpenCV's name for what lies outside; `value` where that is BORDER_CONSTANT.
    """
    height, width = size
    seen = seen_by(matrix, size)
    across = plate_size(seen)
    scale = max(across[0] / width, across[1] / height)
    if scale > SHRUNK_FROM:
        picture, moved = _shrunk(picture, seen, scale)
        matrix = matrix @ np.linalg.inv(moved)
    filters, outside = cv2.INTER_CUBIC, (value,) * 3
    warped = cv2.warpPerspective(
        picture, for_opencv(matrix), (width, height), flags=filters, borderMode=border, borderValue=outside
    )
    return warped if picture.dtype == np.uint8 else np.clip(warped, 0, 1)


def for_opencv(matrix: np.ndarray) -> np.ndarray:
    """The same homography between positions as OpenCV has them, which counts from the middle of the first pixel, not
    from its edge."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return np.linalg.inv(half) @ matrix @ half


def seen_by(matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(4, 2): where the corners of what is seen through `matrix`, (height, width) = `size`, lie in the picture."""
    height, width = size
    rim = np.float64([[width, height], [0, height], [0, 0], [width, 0]])
    return cv2.perspectiveTransform(rim[None], np.linalg.inv(matrix))[0]


def _shrunk(picture: np.ndarray, seen: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The part around `seen` at 1 / `scale` of its size, and the matrix from the picture to it."""
    height, width = picture.shape[:2]
    rim = 4 * scale
    low = np.clip(np.floor(seen.min(axis=0) - rim), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(seen.max(axis=0) + rim), low + 1, (width, height)).astype(int)
    part = picture[low[1] : high[1], low[0] : high[0]]
    small = [max(1, round(side / scale)) for side in (high - low)]
    ratio = np.array(small) / (high - low)
    shrunk = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
    return shrunk, np.array([[ratio[0], 0, -low[0] * ratio[0]], [0, ratio[1], -low[1] * ratio[1]], [0, 0, 1]])


# --- Cut out as it is -------------------------------------------------------------------------------------------------


def crop_plate(
    photo: np.ndarray, corners: Corners, tile: tuple[int, int] = TILE, margin: float = 0.1
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
