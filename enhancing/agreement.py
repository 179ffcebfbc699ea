"""Does the generator say the same when asked again: about the picture shifted, brighter, darker, and through another
generator?

What a picture really shows survives such changes; what the generator makes up often does not. Agreement is no proof:
two generators that learnt from the same tiles may invent alike.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from enhancing.consistency import luminance
from enhancing.voting import align
from reading.matching import comparable, edit_distance

# right and down; 1 and 2 move by no whole block of the generator's stem
SHIFTS_PX = ((1, 0), (-2, 0), (0, 1), (0, -2))
GAINS = (0.85, 1.18)
# single pixels that disagree are of no interest
MAP_SIGMA = 1.5


class Agreement(NamedTuple):
    """text: the characters read from the result. agreed: the same with a ? for each that some variant reads otherwise.
    shares: for each character, the part of the variants that read the same. mean: over the variants, 1 - edit distance
    / length; 0 where nothing was read."""

    text: str
    agreed: str
    shares: tuple[float, ...]
    mean: float


def variants(lq: np.ndarray) -> list[np.ndarray]:
    """The pictures to ask again about: (H, W, 3) float in [0, 1] -> shifted ones, then brighter and darker ones."""
    shifted = [_shift(lq, dx, dy) for dx, dy in SHIFTS_PX]
    return shifted + [np.clip(lq * np.float32(gain), 0, 1) for gain in GAINS]


def undo(restored: Sequence[np.ndarray], scale: int) -> list[np.ndarray]:
    """The restored variants, shifted back so that they lie upon each other. Their brightness is what the generator
    chose."""
    back = [_shift(sr, -dx * scale, -dy * scale) for sr, (dx, dy) in zip(restored, SHIFTS_PX, strict=False)]
    return back + list(restored[len(SHIFTS_PX) :])


def disagreement(sr: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """(H, W) float32: standard deviation of the luminance over the result and the variants, 0 where all agree, up to
    0.5."""
    stack = np.stack([luminance(each) for each in (sr, *others)])
    return cv2.GaussianBlur(stack.std(axis=0), (0, 0), MAP_SIGMA)


def agree(result: str, others: Sequence[str]) -> Agreement:
    """How far the other readings, of at least one variant, support the result's reading, character by character."""
    text, *rest = (comparable(each, country="") for each in (result, *others))
    same = np.zeros((len(rest), len(text)))
    for row, other in zip(same, rest, strict=True):
        for position, at in enumerate(align(text, other)):
            row[position] = at is not None and other[at] == text[position]
    shares = same.mean(axis=0) if rest else np.zeros(len(text))
    agreed = "".join(char if share == 1 else "?" for char, share in zip(text, shares, strict=True))
    likeness = [1 - edit_distance(text, other) / max(len(text), len(other)) for other in rest if text]
    return Agreement(text, agreed, tuple(map(float, shares)), float(np.mean(likeness)) if likeness else 0.0)


def _shift(picture: np.ndarray, dx: int, dy: int) -> np.ndarray:
    moved = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    size = picture.shape[1::-1]
    return cv2.warpAffine(picture, moved, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101)
