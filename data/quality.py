"""Measures a picture: its luma, and the figures that tell clean plates from bad ones."""

from dataclasses import dataclass

import cv2
import numpy as np

from data.io import to_float

# weights of R, G and B in the brightness of a stored pixel (ITU-R BT.601); OpenCV and Pillow take the same
LUMA = (0.299, 0.587, 0.114)


def luminance(picture: np.ndarray) -> np.ndarray:
    """(..., 3) float RGB -> (...) float32: the brightness of each pixel."""
    return picture @ np.array(LUMA, np.float32)


@dataclass(frozen=True)
class Quality:
    """Of the grey picture, in [0, 1]. brightness: its mean. contrast: its standard deviation, 0 to 0.5.

    sharpness: the share of the contrast that lies in the finest detail, as the Laplacian's standard deviation over the
    picture's own. A clean 192 px wide tile has 0.3 to 0.8, a blurred one less than 0.15, white noise 4.5, a flat
    picture 0.
    """

    brightness: float
    contrast: float
    sharpness: float


def measure(picture: np.ndarray) -> Quality:
    """Of (H, W, 3) uint8, or float32 in [0, 1]."""
    grey = to_float(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
    contrast = float(grey.std())
    sharpness = float(cv2.Laplacian(grey, cv2.CV_32F).std()) / contrast if contrast > 1e-6 else 0.0
    return Quality(float(grey.mean()), contrast, sharpness)
