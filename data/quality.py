"""Figures of a picture by which clean plates are told from bad ones. Pictures are (H, W, 3) uint8, or float32 in [0, 1]."""

import cv2
import numpy as np


def brightness(picture: np.ndarray) -> float:
    """Mean of the grey picture, in [0, 1]."""
    return float(_grey(picture).mean())


def contrast(picture: np.ndarray) -> float:
    """Standard deviation of the grey picture, 0 to 0.5."""
    return float(_grey(picture).std())


def sharpness(picture: np.ndarray) -> float:
    """How much of the contrast lies in the finest detail: the Laplacian's standard deviation over the picture's own.

    A clean 192 px wide tile has 0.3 to 0.8, a blurred one less than 0.15, white noise 4.5, a flat picture 0.
    """
    grey = _grey(picture)
    spread = float(grey.std())
    return float(cv2.Laplacian(grey, cv2.CV_32F).std()) / spread if spread > 1e-6 else 0.0


def _grey(picture: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return grey / 255 if picture.dtype == np.uint8 else grey
