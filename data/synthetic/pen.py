"""Shapes given in millimetres, drawn into a photo through a homography.

Photos are (H, W, 3) uint8 RGB; shapes are (N, 2) points as x to the right and y down.
"""

import cv2
import numpy as np

# of the coordinates given to OpenCV
FRACTION_BITS = 4


class Pen:
    """Draws shapes given in millimetres into a photo. `to_photo`: (3, 3), from millimetres to pixels."""

    def __init__(self, photo: np.ndarray, to_photo: np.ndarray) -> None:
        self.photo, self.to_photo = photo, to_photo
        scale = np.sqrt(abs(np.linalg.det(to_photo[:2, :2])))
        self.px_per_mm = float(scale / abs(to_photo[2, 2]))

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) mm -> (N, 1, 2) int32 in OpenCV's fractions of a pixel."""
        moved = cv2.perspectiveTransform(np.asarray(points, np.float64)[:, None], self.to_photo)
        return np.round((moved - 0.5) * 2**FRACTION_BITS).clip(-(2**20), 2**20).astype(np.int32)

    def fill(self, points: np.ndarray, colour: np.ndarray | tuple) -> None:
        cv2.fillPoly(self.photo, [self.pixels(points)], _colour(colour), cv2.LINE_AA, FRACTION_BITS)

    def line(self, points: np.ndarray, colour: np.ndarray | tuple, width_mm: float) -> None:
        width = max(1, round(width_mm * self.px_per_mm))
        cv2.polylines(self.photo, [self.pixels(points)], False, _colour(colour), width, cv2.LINE_AA, FRACTION_BITS)

    def fill_from(self, points: np.ndarray, source: np.ndarray) -> None:
        """Fill a shape with what `source`, a picture of the photo's size, shows there."""
        mask = np.zeros(self.photo.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self.pixels(points)], 255, cv2.LINE_8, FRACTION_BITS)
        cv2.copyTo(source, mask, self.photo)
        # hides the steps of the mask's edge
        self.line(np.vstack([points, points[:1]]), (24, 24, 26), 3)


def mirrored(right: np.ndarray, top: float, bottom: float) -> np.ndarray:
    """A symmetrical outline from its right side, clockwise from the upper middle."""
    rim = np.vstack([[right[0, 0] * 0.85, top], right, [right[-1, 0] * 0.9, bottom]])
    return np.vstack([rim, rim[::-1] * [-1, 1]])


def smooth(points: np.ndarray) -> np.ndarray:
    """Corners cut twice (Chaikin 1974): a polygon becomes a rounded shape."""
    for _ in range(2):
        ahead = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * ahead, 0.25 * points + 0.75 * ahead], axis=1).reshape(-1, 2)
    return points


def ellipse(centre: np.ndarray | tuple, radii: np.ndarray | tuple) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.asarray(centre) + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii


def _colour(colour: np.ndarray | tuple) -> tuple[float, ...]:
    return tuple(float(part) for part in np.clip(colour, 0, 255))
