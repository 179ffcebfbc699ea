"""Laying one picture of a plate upon another. Pictures are (h, w, 3) float32 in [0, 1], both of one size.

A warp is the affine map, (2, 3) float32, from places in the picture that stays to those in the one that moves.
"""

import cv2
import numpy as np

from enhancing.consistency import luminance

ECC_STEPS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-5)
ECC_SMOOTHING_PX = 5
# finer detail is where frames differ by noise and by what was made up
ALIGN_SIGMA = 2.0
# of the moving picture, not looked at
BORDER_PX = 8


def align(reference: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """The affine map, (2, 3) float32, from places in `reference` to those in `picture`, both (h, w, 3): phase
    correlation for the shift, then enhanced correlation (Evangelidis and Psarakis 2008, IEEE TPAMI 30(10)); whichever
    of no move, shift and map makes them most alike where they overlap."""
    fixed, moving = smooth(reference), smooth(picture)
    inside = np.zeros(moving.shape, np.uint8)
    margins = [max(0, min(BORDER_PX, side // 4)) for side in moving.shape]
    inside[margins[0] : moving.shape[0] - margins[0], margins[1] : moving.shape[1] - margins[1]] = 1
    shift = shift_onto(fixed, moving)
    candidates = [shift, np.eye(2, 3, dtype=np.float32)]
    for start in (shift, np.eye(2, 3, dtype=np.float32)):
        try:
            _, warp = cv2.findTransformECC(
                fixed, moving, start.copy(), cv2.MOTION_AFFINE, ECC_STEPS, inside, ECC_SMOOTHING_PX
            )
        # it did not converge, which it says with an exception
        except cv2.error:
            continue
        candidates.append(warp)
    return max(candidates, key=lambda warp: _overlap_correlation(fixed, moving, warp, inside))


def _overlap_correlation(fixed: np.ndarray, moving: np.ndarray, warp: np.ndarray, inside: np.ndarray) -> float:
    """Where both have pixels; less for an overlap of less than half, which anything fits."""
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    both = (cv2.warpAffine(inside, warp, inside.shape[::-1], flags=flags) > 0) & (inside > 0)
    enough = min(1.0, 2 * both.mean())
    return enough * correlation(fixed[both], warped(moving, warp)[both]) if both.any() else -1.0


def shift_onto(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """By phase correlation; both smoothed luminance."""
    shift = np.eye(2, 3, dtype=np.float32)
    if min(fixed.shape) > 2:
        window = cv2.createHanningWindow(fixed.shape[::-1], cv2.CV_32F)
        # copies: where no padding is needed, OpenCV multiplies what it is given by the window
        shift[:, 2] = cv2.phaseCorrelate(fixed.copy(), moving.copy(), window)[0]
    return shift


def warped(picture: np.ndarray, warp: np.ndarray) -> np.ndarray:
    """The picture in the place of the one that stays."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(picture, warp, picture.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return np.clip(moved, 0, 1)


def smooth(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(luminance(picture), (0, 0), ALIGN_SIGMA)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first - first.mean(), second - second.mean()
    return float((a * b).sum() / max(1e-9, np.sqrt((a**2).sum() * (b**2).sum())))


def shift_of(warp: np.ndarray, shape: tuple[int, int]) -> tuple[float, float]:
    middle = np.array([shape[1] / 2, shape[0] / 2, 1])
    right, down = middle[:2] - warp @ middle
    return float(right), float(down)
