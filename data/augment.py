"""Small changes of view and colour that leave a plate as legible as it was: no mirror image, no strong turn.

Pictures are (H, W, 3) float32 RGB in [0, 1]. A change is drawn once and applied to both tiles of a pair, so that pixels
keep their partners whatever the two sizes are.
"""

from dataclasses import dataclass

import cv2
import numpy as np

# share of the tile's width and height
MAX_SHIFT = 0.03
# plates lie in tiles with a margin of a tenth; in people's own crops with hardly any, or with much more
ZOOM = (0.7, 1.15)
# of the height against the width, as a logarithm
MAX_STRETCH = 0.08
MAX_TURN_DEGREES = 2.0
# the other half is only shifted by whole pixels, which keeps noise and sharpness exactly
SHARE_RESAMPLED = 0.5
MAX_BRIGHTNESS, MAX_CONTRAST, MAX_COLOUR = 0.05, 0.1, 0.06


@dataclass(frozen=True)
class Change:
    """matrix: (2, 3), from a pixel of the changed clean tile to one of the original. gain, offset: of each colour."""

    matrix: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    whole_pixels: bool


def draw(rng: np.random.Generator, height: int, width: int, scale: int = 1) -> Change:
    """Draw a change for a clean tile of `height` x `width` whose partner is `scale` times smaller."""
    shift = rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2) * (width, height)
    whole = bool(rng.random() >= SHARE_RESAMPLED)
    zoom = 1.0 if whole else rng.uniform(*ZOOM)
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
