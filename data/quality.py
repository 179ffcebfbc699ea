"""Measures a picture: its luma, the figures that tell clean plates from bad ones, and how much of it is noise."""

from dataclasses import dataclass

import cv2
import numpy as np

from data.io import to_float

# weights of R, G and B in the brightness of a stored pixel (ITU-R BT.601); OpenCV and Pillow take the same
LUMA = (0.299, 0.587, 0.114)
# of a large picture, in which its noise and its edges are measured
MIDDLE_PX = 1024


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
    sharpness = edges(grey) / contrast if contrast > 1e-6 else 0.0
    return Quality(float(grey.mean()), contrast, sharpness)


def is_grey(picture: np.ndarray) -> bool:
    """Whether a picture, uint8 or float in [0, 1], holds no colour: that of an infrared or a black-and-white camera."""
    most = 1 if picture.dtype == np.uint8 else 1.5 / 255
    middle = picture[..., 1]
    return all(cv2.absdiff(picture[..., side], middle).max() <= most for side in (0, 2))


def mean_and_contrast(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, (C,) each, float64."""
    mean, deviation = cv2.meanStdDev(picture)
    return mean[:, 0], deviation[:, 0]


def edges(brightness: np.ndarray) -> float:
    """How strong the edges of (H, W) float32 are: the standard deviation of its Laplacian."""
    return float(cv2.Laplacian(brightness, cv2.CV_32F).std())


def noise_of(picture: np.ndarray) -> float:
    """The standard deviation of the noise in the middle of a picture, as a share of full scale.

    By Immerkaer 1996, "Fast Noise Variance Estimation", whose mask is blind to straight edges. The median stands in for
    his mean: strokes fill much of a plate.
    """
    brightness = luminance(to_float(picture[middle(picture)]))
    mask = np.outer([1, -2, 1], [1, -2, 1]).astype(np.float32)
    # a median of 0.6745 standard deviations, and a mask whose weights have the norm 6
    return float(np.median(np.abs(cv2.filter2D(brightness, -1, mask)))) / 0.6745 / 6


def middle(picture: np.ndarray) -> tuple[slice, slice]:
    """The middle of a large picture, to be measured."""
    top, left = (max(0, side - MIDDLE_PX) // 2 for side in picture.shape[:2])
    return slice(top, min(top + MIDDLE_PX, picture.shape[0])), slice(left, min(left + MIDDLE_PX, picture.shape[1]))
