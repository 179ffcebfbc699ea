"""Puts restored plates back into their photo."""

from collections.abc import Iterable

import cv2
import numpy as np

from data.io import to_float
from data.straighten import in_tile, to_tile
from enhancing.examining import Result

# of the plate's height: over so much around the plate the restored picture fades into the photo
FEATHER = 0.12


def paste(photo: np.ndarray, results: Iterable[Result]) -> np.ndarray:
    """(H, W, 3), uint8 or float32 in [0, 1] -> the same as float32, with each plate restored in its place."""
    photo = np.array(to_float(photo))
    for result in results:
        _paste_one(photo, to_float(result.picture), result.source.corners)
    return photo


def _paste_one(photo: np.ndarray, picture: np.ndarray, corners: np.ndarray) -> None:
    """picture: the restored tile, of any size."""
    tile = picture.shape[:2]
    place = in_tile(corners, tile)
    height = float(np.ptp(place[:, 1]))
    mask = np.zeros(tile, np.float32)
    grown = place + np.sign(place - place.mean(axis=0)) * FEATHER * height / 2
    cv2.fillConvexPoly(mask, grown.round().astype(np.int32), 1.0)
    mask = cv2.GaussianBlur(mask, (0, 0), max(0.5, FEATHER * height / 4))
    # OpenCV counts from the middle of the first pixel
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    back = np.linalg.inv(half) @ np.linalg.inv(to_tile(corners, tile)) @ half
    low = np.maximum(np.floor(corners.min(axis=0) - height), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0) + height).astype(int), photo.shape[1::-1])
    if (high <= low).any():
        return
    back = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]]) @ back
    size = tuple((high - low).tolist())
    # where the photo has fewer px than the tile, these are averages of the tile's
    shrink = max(1.0, np.ptp(place[:, 0]) / max(1.0, float(np.linalg.norm(corners[0] - corners[1]))))
    soft = cv2.GaussianBlur(picture, (0, 0), 0.4 * shrink) if shrink > 1.2 else picture
    moved = cv2.warpPerspective(soft, back, size, flags=cv2.INTER_LINEAR)
    share = cv2.warpPerspective(mask, back, size, flags=cv2.INTER_LINEAR)[..., None]
    room = photo[low[1] : high[1], low[0] : high[0]]
    room += share * (moved - room)
