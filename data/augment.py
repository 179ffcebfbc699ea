"""Changes of view and colour for training: small ones of both tiles of a pair, strong ones of clean rendered tiles
only.

Pictures are (H, W, 3) float32 RGB in [0, 1]. `draw` and `apply` leave a plate as legible as it was: no mirror image, no
strong turn. Such a change is drawn once and applied to both tiles of a pair, so that pixels keep their partners
whatever the two sizes are. `randomised` makes rendered plates more various than any renderer's fonts and cameras,
before they are degraded: domain randomisation (Tobin et al. 2017, arXiv 1703.06907). A network then learns what makes a
letter that letter, not one drawing of it. The view changes as the detector errs: tiles are straightened by its corners.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

# share of the tile's width and height
MAX_SHIFT = 0.03
# plates lie in tiles with a margin of a tenth; in people's own crops with hardly any, or with much more
ZOOM = (0.7, 1.15)
# of plates that are smeared over more than so many px of a tile: the light at their ends has to be in the view
SMEARED_ZOOM, SMEARED_PX = (0.72, 1.0), 14.0
# of the height against the width, as a logarithm
MAX_STRETCH = 0.08
MAX_TURN_DEGREES = 2.0
# the other half is only shifted by whole pixels, which keeps noise and sharpness exactly
SHARE_RESAMPLED = 0.5
MAX_BRIGHTNESS, MAX_CONTRAST, MAX_COLOUR = 0.05, 0.1, 0.06
# share of the tiles that `randomised` changes; the rest keep the renderer's exact strokes
RANDOMISED_SHARE = 0.8
RANDOMISED_TURN_DEGREES = 5.0
# shift of x per y, so that letters slant
RANDOMISED_SHEAR = 0.08
# standard deviation of each corner's place, as a share of the tile's height: the detector errs by some 0.09 of a
# plate's height on real photos (docs/BENCHMARKS.md); twice that in a share of the tiles
CORNER_ERROR, CORNER_OUTLIERS = 0.04, 0.1
# logarithms of the least and the greatest
RANDOMISED_ZOOM = (-0.15, 0.1)
# of the height against the width, as a logarithm
RANDOMISED_STRETCH = 0.2
# knots over the tile, and the standard deviation of their displacement
BEND_GRID, BEND_PX = (3, 8), 1.2
# share of a picture that is one pixel bolder or thinner all around
RANDOMISED_WEIGHT = 0.5


@dataclass(frozen=True)
class Change:
    """matrix: (2, 3), from a pixel of the changed clean tile to one of the original. gain, offset: of each colour."""

    matrix: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    whole_pixels: bool


def draw(rng: np.random.Generator, height: int, width: int, scale: int = 1, blur_px: float = 0.0) -> Change:
    """Draw a change for a clean tile of `height` x `width` whose partner is `scale` times smaller, and blurred over
    `blur_px` of the clean one."""
    shift = rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2) * (width, height)
    smeared = blur_px > SMEARED_PX
    whole = bool(rng.random() >= SHARE_RESAMPLED) and not smeared
    zoom = 1.0 if whole else rng.uniform(*(SMEARED_ZOOM if smeared else ZOOM))
    stretch = 1.0 if whole else np.exp(rng.uniform(-MAX_STRETCH, MAX_STRETCH))
    turn = 0.0 if whole else np.deg2rad(rng.uniform(-MAX_TURN_DEGREES, MAX_TURN_DEGREES))
    if whole:
        # whole pixels of the smaller tile too
        shift = np.round(shift / scale) * scale
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / [zoom, zoom * stretch]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.column_stack([rotation, centre - rotation @ centre + shift])
    gain = (1 + rng.uniform(-MAX_CONTRAST, MAX_CONTRAST)) * (1 + rng.uniform(-MAX_COLOUR, MAX_COLOUR, 3))
    # contrast around middle grey
    offset = 0.5 * (1 - gain) + rng.uniform(-MAX_BRIGHTNESS, MAX_BRIGHTNESS)
    return Change(matrix, gain.astype(np.float32), offset.astype(np.float32), whole)


def apply(picture: np.ndarray, change: Change, scale: int = 1) -> np.ndarray:
    """The changed picture, of the same size; `scale`: how much smaller than the clean tile this picture is."""
    height, width = picture.shape[:2]
    matrix = change.matrix.copy()
    # centres of small pixels lie at scale * i + (scale - 1) / 2 of the clean tile
    middle = (scale - 1) / 2
    matrix[:, 2] = (matrix[:, 2] + matrix[:, :2] @ [middle, middle] - middle) / scale
    filters = cv2.INTER_NEAREST if change.whole_pixels else cv2.INTER_CUBIC
    moved = cv2.warpAffine(
        picture, matrix, (width, height), flags=filters | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    coloured = cv2.transform(moved, np.column_stack([np.diag(change.gain), change.offset]))
    return np.clip(coloured, 0, 1, out=coloured)


def randomised(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The plate from another side, with letters a little bent, bolder or thinner; of the same size."""
    if rng.random() >= RANDOMISED_SHARE:
        return picture
    moved = cv2.remap(picture, *_view(rng, *picture.shape[:2]), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    weight = rng.uniform(-RANDOMISED_WEIGHT, RANDOMISED_WEIGHT)
    grown = (cv2.dilate if weight > 0 else cv2.erode)(moved, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    return np.clip(cv2.addWeighted(moved, 1 - abs(weight), grown, abs(weight), 0), 0, 1)


def _view(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y, (H, W) float32 each, of where every pixel of the new view lies in the old one."""
    # most plates hang nearly level
    turn = np.deg2rad(rng.triangular(-RANDOMISED_TURN_DEGREES, 0, RANDOMISED_TURN_DEGREES))
    zoom, stretch = np.exp(rng.uniform(*RANDOMISED_ZOOM)), np.exp(rng.uniform(-RANDOMISED_STRETCH, RANDOMISED_STRETCH))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    slant = np.array([[1, rng.uniform(-RANDOMISED_SHEAR, RANDOMISED_SHEAR)], [0, 1]])
    matrix = (slant @ rotation / [zoom, zoom * stretch]).astype(np.float32)
    x, y = _from_the_middle(height, width)
    knots = rng.normal(0, BEND_PX, (*BEND_GRID, 2)).astype(np.float32)
    bend = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
    x, y = _with_wrong_corners(rng, x, y)
    old_x = matrix[0, 0] * x + matrix[0, 1] * y + bend[..., 0] + np.float32((width - 1) / 2)
    old_y = matrix[1, 0] * x + matrix[1, 1] * y + bend[..., 1] + np.float32((height - 1) / 2)
    return old_x, old_y


def _with_wrong_corners(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y, (H, W) each, as corners that miss the plate's move them. Their errors spread over the tile bilinearly,
    which for so small ones is the perspective view but for fractions of a pixel."""
    deviation = CORNER_ERROR * y.size * (2 if rng.random() < CORNER_OUTLIERS else 1)
    top_left, top_right, bottom_left, bottom_right = rng.normal(0, deviation, (4, 2)).astype(np.float32)
    # 0 to 1 from corner to corner
    right, down = x / x.size + np.float32(0.5), y / y.size + np.float32(0.5)

    def moved(axis: int) -> np.ndarray:
        top = top_left[axis] + (top_right[axis] - top_left[axis]) * right
        bottom = bottom_left[axis] + (bottom_right[axis] - bottom_left[axis]) * right
        return top + (bottom - top) * down

    return x + moved(0), y + moved(1)


@lru_cache(maxsize=4)
def _from_the_middle(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x (1, W) and y (H, 1), float32, of each pixel."""
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    return (x - x.mean())[None], (y - y.mean())[:, None]
