"""What years on a car do to a plate's face: embossing, rivets, dirt, scratches, peeled paint, a frame around it.

Pictures are (H, W, 3) float32 RGB in [0, 1]; every function takes the generator of random numbers first. The wear stays below
what would hide a character: the tile made of this photo is a clean target.
"""

import cv2
import numpy as np

from data.plates import Face


def clouds(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> np.ndarray:
    """(H, W) smooth random field in [0, 1] with about `cells` patches across."""
    small = rng.random((max(2, cells * shape[0] // shape[1] + 2), cells + 2), dtype=np.float32)
    return np.clip(cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC), 0, 1)


def wear(rng: np.random.Generator, face: Face) -> np.ndarray:
    """The face as it looks on the road, framed or not: (H, W, 3), somewhat larger than before where a frame was added."""
    pixels = face.pixels.copy()
    if rng.random() < 0.85:
        pixels += _embossing(rng, face.ink)
    if rng.random() < 0.25:
        pixels = _peeled(rng, pixels, face.ink)
    if rng.random() < 0.6:
        pixels = _dirt(rng, pixels)
    if rng.random() < 0.25:
        _scratches(rng, pixels)
    if rng.random() < 0.5:
        _rivets(rng, pixels)
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
    chips = (clouds(rng, ink.shape, 60) > rng.uniform(0.9, 0.97)) * ink
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


def _rivets(rng: np.random.Generator, pixels: np.ndarray) -> None:
    """Two or four screw heads near the edges, where the characters are not."""
    height, width = pixels.shape[:2]
    radius = max(1, round(0.035 * height * rng.uniform(0.8, 1.4)))
    rows = [0.08, 0.92] if rng.random() < 0.4 else [float(rng.choice([0.08, 0.92]))]
    value = float(rng.uniform(0.15, 0.85))
    for x in (0.22, 0.78):
        for y in rows:
            centre = round(x * width), round(y * height)
            cv2.circle(pixels, centre, radius, (value * 0.6,) * 3, -1, cv2.LINE_AA)
            cv2.circle(pixels, (centre[0], centre[1] - 1), max(1, radius - 1), (value,) * 3, -1, cv2.LINE_AA)
