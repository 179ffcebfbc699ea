"""Figures of a picture by which clean plates are told from bad ones."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Quality:
    """Of the grey picture, in [0, 1]. brightness: its mean. contrast: its standard deviation, 0 to 0.5.

    sharpness: how much of the contrast lies in the finest detail, the Laplacian's standard deviation over the picture's
    own. A clean 192 px wide tile has 0.3 to 0.8, a blurred one less than 0.15, white noise 4.5, a flat picture 0.
    """

    brightness: float
    contrast: float
    sharpness: float


def measure(picture: np.ndarray) -> Quality:
    """Of (H, W, 3) uint8, or float32 in [0, 1]."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = grey / 255 if picture.dtype == np.uint8 else grey
    contrast = float(grey.std())
    sharpness = float(cv2.Laplacian(grey, cv2.CV_32F).std()) / contrast if contrast > 1e-6 else 0.0
    return Quality(float(grey.mean()), contrast, sharpness)
