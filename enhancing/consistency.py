"""Does the result explain the input? This takes the result back through a fitted camera and compares it with the input.

The camera is unknown, so it is fitted: picture = gain * (blur * result ^ power) + offset, where the blur is any kernel
of up to 33 px without negative weights (camera shake is no Gaussian). The fit can imitate blur and tone, but not
invented characters: where the result has a wrong character, the input has strokes that the result cannot explain.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from data.quality import luminance

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
