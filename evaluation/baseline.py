"""The classical baseline that a network has to beat: contrast stretch and unsharp mask.

Pictures are (H, W, 3) float32 RGB in [0, 1].
"""

import cv2
import numpy as np

from models.enhancer import LUMA

# of the luminance: a few glaring or black pixels do not stop the stretch
STRETCH_PERCENTILES = (1, 99)
# a flatter picture holds noise alone, which a stretch would blow up
MIN_RANGE = 0.05
UNSHARP_SIGMA_PX, UNSHARP_AMOUNT = 2.0, 1.0


def classical(picture: np.ndarray) -> np.ndarray:
    """Stretch the luminance to the whole range, the same for all colours, then sharpen."""
    low, high = np.percentile(picture @ LUMA, STRETCH_PERCENTILES)
    stretched = np.clip((picture - low) / max(high - low, MIN_RANGE), 0, 1).astype(np.float32)
    blurred = cv2.GaussianBlur(stretched, (0, 0), UNSHARP_SIGMA_PX)
    return np.clip(stretched + UNSHARP_AMOUNT * (stretched - blurred), 0, 1)


def enlarge(picture: np.ndarray, scale: int) -> np.ndarray:
    """Bicubic enlargement by `scale`; the picture itself for scale 1."""
    if scale == 1:
        return picture
    height, width = picture.shape[:2]
    enlarged = cv2.resize(picture, (width * scale, height * scale), interpolation=cv2.INTER_CUBIC)
    return np.clip(enlarged, 0, 1)
