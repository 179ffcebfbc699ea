"""Measures pictures: brightness, contrast, sharpness and noise of one; and how far a result explains the picture that
it was made of.

For the latter, the result is taken back through a camera and compared with the picture. The camera is unknown, so it is
fitted: picture = gain * (blur * result ^ power) + offset, where the blur is any kernel of up to 33 px without negative
weights (camera shake is no Gaussian). The fit can imitate blur and tone, but not invented characters: where the result
has a wrong character, the picture has strokes that the result cannot explain.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

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


# --- Consistency: a result and the picture that it was made of --------------------------------------------------------

# tone curves tried
POWERS = (0.5, 0.75, 1.0, 1.4, 2.0)
# longest blur that the fit can find, at the tile's width of 192 px
KERNEL_PX = 33
# of the deconvolution, as a part of the result's mean power
DAMPING = 1e-2
# both sides are smoothed by this before they are compared, so that noise does not count
GRAIN_SIGMA = 1.0


class Fit(NamedTuple):
    """consistency: share of the picture's variation that the result explains, 0 to 1. brought_back: (H, W) luminance,
    the result as the camera would have shown it. blur_px: standard deviation of the fitted blur."""

    consistency: float
    brought_back: np.ndarray
    blur_px: float


def fit(lq: np.ndarray, sr: np.ndarray) -> Fit:
    """lq, sr: (H, W, 3) and (H * scale, W * scale, 3) float in [0, 1]."""
    height, width = sr.shape[:2]
    picture = luminance(lq)
    if picture.shape != (height, width):
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    picture = cv2.GaussianBlur(picture, (0, 0), GRAIN_SIGMA)
    result = np.clip(cv2.GaussianBlur(luminance(sr), (0, 0), GRAIN_SIGMA), 0, 1)
    # half the size is enough to find the tone curve, and costs a quarter
    coarse_picture, coarse_result = (_halved(each) for each in (picture, result))
    power = max(POWERS, key=lambda p: _explain(coarse_picture, coarse_result**p, KERNEL_PX // 2)[0])
    result = result**power
    consistency, brought_back, kernel = _explain(picture, result, KERNEL_PX)
    if kernel is None:
        return Fit(consistency, brought_back, 0.0)
    # what the damped division makes of no blur at all is not blur
    variance = _variance(kernel) - _variance(_kernel(result, result, KERNEL_PX))
    return Fit(consistency, brought_back, float(np.sqrt(max(0.0, variance))))


def effective_width(found: Fit, width: int, native_width: float) -> float:
    """The number of pixels across the picture that carry detail, blur counted.

    A blur of standard deviation s mixes as many neighbours as a box of length sqrt(12) s. width: of the fitted picture.
    native_width: pixels that the camera had for it, an upper bound.
    """
    return min(native_width, width / float(np.sqrt(1 + 12 * found.blur_px**2)))


def _halved(picture: np.ndarray) -> np.ndarray:
    size = [max(1, side // 2) for side in picture.shape[::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _explain(picture: np.ndarray, result: np.ndarray, kernel_px: int) -> tuple[float, np.ndarray, np.ndarray | None]:
    """(consistency, the result brought back, the blur; None for flat pictures). Both (H, W), the result after its tone
    curve."""
    variation = float(picture.var())
    # nothing in the one, or nothing left in the other
    if variation < 1e-8 or result.var() < 1e-8:
        same = variation < 1e-8 and result.var() < 1e-8
        return float(same), np.full_like(picture, picture.mean()), None
    kernel = _kernel(picture, result, kernel_px)
    blurred = cv2.filter2D(result, -1, kernel[::-1, ::-1], borderType=cv2.BORDER_REFLECT_101)
    centred = blurred - blurred.mean()
    gain = max(0.0, float(np.mean(centred * (picture - picture.mean())) / max(blurred.var(), 1e-12)))
    brought_back = gain * centred + picture.mean()
    explained = 1 - float(np.mean((picture - brought_back) ** 2)) / variation
    return max(0.0, explained), brought_back, kernel


def _kernel(picture: np.ndarray, result: np.ndarray, kernel_px: int) -> np.ndarray:
    """The blur without negative weights, summing to 1, that best takes the result to the picture: a damped division of
    their spectra, cut to its middle. Both (H, W)."""
    window = _window(picture.shape)
    picture_f, result_f = (np.fft.rfft2((each - each.mean()) * window) for each in (picture, result))
    power = np.abs(result_f) ** 2
    spectrum = np.conj(result_f) * picture_f / (power + DAMPING * power.mean())
    kernel = np.fft.fftshift(np.fft.irfft2(spectrum, s=picture.shape))
    middle = [side // 2 for side in picture.shape]
    reach = [min(kernel_px // 2, (side - 1) // 2) for side in picture.shape]
    kernel = kernel[tuple(slice(m - r, m + r + 1) for m, r in zip(middle, reach, strict=True))]
    # weights far below the strongest are what noise leaves, and add up over a thousand of them
    kernel = np.where(kernel > 0.1 * kernel.max(), kernel, 0)
    return kernel / kernel.sum() if kernel.sum() > 0 else np.ones((1, 1))


@lru_cache(maxsize=16)
def _window(shape: tuple[int, int]) -> np.ndarray:
    """Softens the jump at the border."""
    return np.outer(*(np.hanning(side + 2)[1:-1] ** 0.25 for side in shape))


def _variance(kernel: np.ndarray) -> float:
    """Of the two directions, the mean, in px^2."""
    sums = [(kernel.sum(axis=1 - axis), np.arange(side)) for axis, side in enumerate(kernel.shape)]
    return float(np.mean([np.sum(weights * (places - np.sum(weights * places)) ** 2) for weights, places in sums]))
