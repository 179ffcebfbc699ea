"""Rendered plates made more various than any renderer's fonts and cameras: domain randomisation (Tobin et al. 2017,
arXiv 1703.06907). What learns from these knows letters by what makes them that letter, not by one drawing of it.

Pictures are (H, W, 3) float32 RGB in [0, 1]. The clean tile itself is changed, before it is damaged.
"""

from functools import lru_cache

import cv2
import numpy as np

# of the tiles; the rest keep the renderer's exact strokes
SHARE = 0.8
MAX_TURN_DEGREES = 14.0
# of x with y, so that letters slant
MAX_SHEAR = 0.2
# logarithms
ZOOM = (-0.25, 0.1)
# of the height against the width, as a logarithm
MAX_STRETCH = 0.2
# knots over the tile, and the standard deviation of their displacement
BEND_GRID, BEND_PX = (3, 8), 1.2
# share of a picture that is one pixel bolder or thinner all around
MAX_WEIGHT = 0.5


def randomised(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The plate from another side, with letters a little bent, bolder or thinner; of the same size."""
    if rng.random() >= SHARE:
        return picture
    moved = cv2.remap(picture, *_view(rng, *picture.shape[:2]), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    weight = rng.uniform(-MAX_WEIGHT, MAX_WEIGHT)
    grown = (cv2.dilate if weight > 0 else cv2.erode)(moved, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    return np.clip(cv2.addWeighted(moved, 1 - abs(weight), grown, abs(weight), 0), 0, 1)


def _view(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y, (H, W) float32 each, of where every pixel of the new view lies in the old one."""
    # most plates hang nearly level
    turn = np.deg2rad(rng.triangular(-MAX_TURN_DEGREES, 0, MAX_TURN_DEGREES))
    zoom, stretch = np.exp(rng.uniform(*ZOOM)), np.exp(rng.uniform(-MAX_STRETCH, MAX_STRETCH))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    slant = np.array([[1, rng.uniform(-MAX_SHEAR, MAX_SHEAR)], [0, 1]])
    matrix = (slant @ rotation / [zoom, zoom * stretch]).astype(np.float32)
    x, y = _from_the_middle(height, width)
    knots = rng.normal(0, BEND_PX, (*BEND_GRID, 2)).astype(np.float32)
    bend = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
    old_x = matrix[0, 0] * x + matrix[0, 1] * y + bend[..., 0] + np.float32((width - 1) / 2)
    old_y = matrix[1, 0] * x + matrix[1, 1] * y + bend[..., 1] + np.float32((height - 1) / 2)
    return old_x, old_y


@lru_cache(maxsize=4)
def _from_the_middle(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x (1, W) and y (H, 1), float32, of each pixel."""
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    return (x - x.mean())[None], (y - y.mean())[:, None]
