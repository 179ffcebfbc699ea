"""What years on a car do to a plate's face: embossing, bolts, dirt, scratches, peeled paint, a holder around it.

Pictures are (H, W, 3) float32 RGB in [0, 1]; every function takes the generator of random numbers first. The wear stays
below what would hide a character: the tile made of this photo is a clean target.
"""

import cv2
import numpy as np

from data.ccpd import CHINA
from data.synthetic import lettering, registrations
from data.synthetic.canvas import SMALL_PRINT, Face

BOLTS = (
    (0.75, 0.75, 0.75),
    (0.45, 0.45, 0.47),
    (0.15, 0.15, 0.16),
    (0.9, 0.9, 0.88),
    (0.6, 0.1, 0.1),
    (0.1, 0.2, 0.55),
)


def clouds(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> np.ndarray:
    """(H, W) smooth random field in [0, 1] with about `cells` patches across."""
    small = rng.random((max(2, cells * shape[0] // shape[1] + 2), cells + 2), dtype=np.float32)
    return np.clip(cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC), 0, 1)


def wear(rng: np.random.Generator, face: Face) -> np.ndarray:
    """The face as it looks on the road, (H, W, 3)."""
    pixels = face.pixels.copy()
    if rng.random() < 0.85:
        pixels += _embossing(rng, face.ink)
    if rng.random() < 0.15:
        pixels = _peeled(rng, pixels, face.ink)
    if rng.random() < 0.6:
        pixels = _dirt(rng, pixels)
    if rng.random() < 0.25:
        _scratches(rng, pixels)
    if rng.random() < (
        0.75 if face.country == CHINA else 0.25
        # elsewhere holders hide them, or they are painted over
    ):
        _bolts(rng, pixels, face.ink)
    pixels *= 1 + rng.uniform(-0.12, 0.12) * (clouds(rng, face.ink.shape, 3)[..., None] - 0.5)
    return np.clip(pixels, 0, 1)


def _embossing(rng: np.random.Generator, ink: np.ndarray) -> np.ndarray:
    """Raised characters: their edges towards the light shine, the others lie in shade."""
    relief = cv2.GaussianBlur(ink, (0, 0), rng.uniform(0.7, 1.4))
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * cv2.Sobel(relief, -1, 1, 0) + np.sin(angle) * cv2.Sobel(relief, -1, 0, 1)
    return (rng.uniform(0.01, 0.06) * slope)[..., None]


def _peeled(rng: np.random.Generator, pixels: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """Small chips of paint lost from the characters, down to the metal."""
    chips = (clouds(rng, ink.shape, 120) > rng.uniform(0.9, 0.97)) * ink
    return pixels + chips[..., None].astype(np.float32) * (rng.uniform(0.4, 0.8) - pixels)


def _dirt(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Dust and mud, thicker towards the lower edge."""
    height, width = pixels.shape[:2]
    down = np.linspace(rng.uniform(0, 0.6), 1, height, dtype=np.float32)[:, None]
    cover = rng.uniform(0.05, 0.35) * down * clouds(rng, (height, width), int(rng.integers(4, 30))) ** 2
    mud = np.array([0.45, 0.4, 0.33], np.float32) * np.float32(rng.uniform(0.5, 1.3))
    return pixels + cover[..., None] * (mud - pixels)


def _scratches(rng: np.random.Generator, pixels: np.ndarray) -> None:
    height, width = pixels.shape[:2]
    for _ in range(rng.integers(1, 6)):
        start = rng.integers(width), rng.integers(height)
        end = start[0] + rng.integers(-40, 41), start[1] + rng.integers(-15, 16)
        value = float(rng.uniform(0.3, 0.8))
        cv2.line(pixels, tuple(map(int, start)), tuple(map(int, end)), (value,) * 3, 1, cv2.LINE_AA)


def _bolts(rng: np.random.Generator, pixels: np.ndarray, ink: np.ndarray) -> None:
    """Two or four bolts between the edge and the characters, never touching these: bare, or under caps of some
    colour."""
    height, width = pixels.shape[:2]
    rows = np.flatnonzero(ink.max(axis=1) > 0.5)
    room = min(rows[0], height - rows[-1], 0.055 * width)
    reach, above = room * rng.uniform(0.18, 0.32), room * rng.uniform(0.36, 0.42)
    value = np.array(BOLTS[rng.integers(len(BOLTS))]) * rng.uniform(0.6, 1.1)
    left = rng.uniform(0.2, 0.3)
    rows = [above, height - above] if rng.random() < 0.4 else [above if rng.random() < 0.7 else height - above]
    for x in (left * width, (1 - left) * width):
        for y in rows:
            for part, shift, dim in ((1.15, 0.25, 0.25), (1.0, 0.0, 0.75), (0.6, -0.2, 1.15)):
                centre = round(x * 16), round((y + shift * reach) * 16)
                colour = tuple(float(each) for each in np.clip(value * dim, 0, 1))
                cv2.circle(pixels, centre, max(8, round(part * reach * 16)), colour, -1, cv2.LINE_AA, shift=4)


def framed(rng: np.random.Generator, plate: np.ndarray, px_per_mm: float) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The plate in a holder of plastic or chrome, a dealer's name on its lower rim; and the rims in px: above, below,
    sides."""
    thin, deep = rng.uniform(4, 12) * px_per_mm, rng.uniform(10, 26) * px_per_mm
    above = side = max(1, round(thin))
    below = max(1, round(deep if rng.random() < 0.6 else thin))
    shade = float(rng.choice([0.05, 0.08, 0.12, 0.3, 0.7]))
    framed = cv2.copyMakeBorder(plate, above, below, side, side, cv2.BORDER_CONSTANT, value=(shade,) * 3)
    # the upper edge catches the light
    framed[: max(1, above // 3)] += 0.12
    framed[-below : -below + max(1, below // 6)] *= 0.6
    height = round(0.55 * below)
    if height >= 3 and rng.random() < 0.7:
        ink = 0.85 if shade < 0.4 else 0.1
        _print(framed, registrations.dealer(rng), framed.shape[0] - below + round(0.25 * below), height, ink)
    return framed, (above, below, side)


def _print(picture: np.ndarray, text: str, top: int, height: int, ink: float) -> None:
    """Small lettering across the middle of `picture`, the row `top` its upper edge."""
    widths = [round(lettering.aspect(SMALL_PRINT, char) * height) if char != " " else height // 2 for char in text]
    gap = max(1, height // 6)
    left = max(0, (picture.shape[1] - sum(widths) - gap * len(text)) // 2)
    for char, width in zip(text, widths, strict=True):
        if char != " ":
            mask = lettering.glyph(SMALL_PRINT, char, height, width)[..., None]
            room = picture[top : top + height, left : left + width]
            room += mask[: room.shape[0], : room.shape[1]] * (ink - room)
        left += width + gap
