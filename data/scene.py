"""A plate's surroundings and the camera: car body, perspective, light, lens; from a face to a photo with known corners.

Photos are (H, W, 3) float32 RGB in [0, 1]; corners are (x, y) pixels in CCPD's order, from the bottom right clockwise.
"""

from functools import lru_cache

import cv2
import numpy as np

from data import wear
from data.plates import Face

PAINTS = np.array(  # car colours, by how common they are on roads: white, black, greys, blue, red, brown, green
    [[0.85, 0.85, 0.84], [0.85, 0.85, 0.84], [0.06, 0.06, 0.07], [0.06, 0.06, 0.07], [0.45, 0.46, 0.48], [0.62, 0.63, 0.64],
     [0.1, 0.16, 0.35], [0.5, 0.07, 0.08], [0.3, 0.2, 0.13], [0.1, 0.25, 0.16]], np.float32
)  # fmt: skip
LAMPS = np.array(
    [[0.7, 0.06, 0.06], [0.6, 0.05, 0.05], [0.85, 0.5, 0.1], [0.85, 0.86, 0.88], [0.55, 0.56, 0.58]], np.float32
)
SHADOW_PX = 4  # softness of the plate's own shadow
_GRAIN_COUNT = 4_000_000


def place(rng: np.random.Generator, size: tuple[int, int], width_px: float, aspect: float) -> np.ndarray:
    """Corners (4, 2) of a plate `width_px` wide, turned in space and put somewhere inside a frame of `size` (height, width).

    The plate is a rectangle of the given aspect (width over height), seen by a pinhole camera 6 plate widths away.
    """
    yaw, pitch = np.deg2rad(rng.normal(0, [16, 10]).clip(-38, 25))
    roll = np.deg2rad(rng.normal(0, 4.5))
    x, y = np.array([0.5, -0.5, -0.5, 0.5]), np.array([0.5, 0.5, -0.5, -0.5]) / aspect
    points = np.stack([x * np.cos(yaw), y * np.cos(pitch)], axis=1)
    depth = 6 + x * np.sin(yaw) + y * np.sin(pitch)
    points *= (6 / depth)[:, None]
    points = points @ np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    points *= width_px / np.linalg.norm(points[0] - points[1])
    low, high = points.min(axis=0), points.max(axis=0)
    points *= min(1.0, *((np.array(size[::-1]) - 8) / (high - low)))  # a wide plate must still fit into the frame
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array(size[::-1]) - (high - low) - 8
    return points - low + 4 + room * rng.uniform(0.15, 0.85, 2)


def photograph(rng: np.random.Generator, face: Face, corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The photo: the worn face on a car body at `corners`, lit and seen through a lens."""
    photo = _car_body(rng, size, corners)
    _mount(rng, photo, wear.wear(rng, face), corners)
    photo = _light(rng, photo, corners)
    photo = _lens(rng, photo)
    return np.clip(photo, 0, 1)


def _car_body(rng: np.random.Generator, size: tuple[int, int], corners: np.ndarray) -> np.ndarray:
    """The car around the plate, soft as a background is: drawn at half the size, which is enough for it."""
    small = size[0] // 2, size[1] // 2
    photo = _paintwork(rng, small)
    top, bottom = corners[:, 1].min() / 2, corners[:, 1].max() / 2
    if rng.random() < 0.45:  # a bumper of black plastic, below or around the plate
        start = max(0, int(rng.uniform(top - 30, bottom + 5)))
        photo[start:] = rng.uniform(0.05, 0.16) + 0.05 * wear.clouds(rng, small, 3)[start:, :, None]
    if rng.random() < 0.4:
        _grille(rng, photo, top)
    for _ in range(rng.integers(0, 4)):
        _seam(rng, photo)
    for _ in range(rng.integers(0, 3)):
        _lamp_or_badge(rng, photo)
    if rng.random() < 0.5:
        centre = corners.mean(axis=0)
        recess = np.round(((corners - centre) * rng.uniform(1.05, 1.3) + centre) / 2).astype(np.int32)
        cv2.fillPoly(photo, [recess], (float(rng.uniform(0.02, 0.5)),) * 3, cv2.LINE_AA)
    photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.3, 1.2))
    return cv2.resize(photo, size[::-1], interpolation=cv2.INTER_LINEAR)


def _paintwork(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Lacquer in a car's colour, with soft reflections of sky and street and a bright crease or two."""
    paint = np.clip(PAINTS[rng.integers(len(PAINTS))] * rng.uniform(0.8, 1.15) + rng.normal(0, 0.02, 3), 0, 1)
    shine = 0.65 + 0.7 * wear.clouds(rng, size, int(rng.integers(1, 4)))
    height = np.arange(size[0], dtype=np.float32)
    for _ in range(rng.integers(0, 3)):
        crease, width = rng.uniform(0, size[0]), rng.uniform(2, 12)
        shine += np.float32(rng.uniform(-0.25, 0.4)) * np.exp(-(((height - crease) / width) ** 2))[:, None]
    return np.clip(paint * shine[..., None] + 0.08 * (shine[..., None] - 0.65), 0, 1).astype(np.float32)


def _grille(rng: np.random.Generator, photo: np.ndarray, plate_top: float) -> None:
    """Bars above the plate."""
    step, bottom = int(rng.integers(4, 11)), int(max(4, plate_top - rng.uniform(2, 20)))
    dark, light = rng.uniform(0.02, 0.12), rng.uniform(0.2, 0.8)
    photo[:bottom] = dark
    for y in range(0, bottom, step):
        photo[y : y + max(1, step // 4)] = light


def _seam(rng: np.random.Generator, photo: np.ndarray) -> None:
    """A gap between panels, with the light edge that a bend has."""
    height, width = photo.shape[:2]
    y, slope = rng.uniform(0, height), rng.uniform(-6, 6)
    for offset, shade in ((0, rng.uniform(0, 0.2)), (1, rng.uniform(0.3, 0.8))):
        cv2.line(photo, (0, int(y + offset)), (width, int(y + slope + offset)), (float(shade),) * 3, 1, cv2.LINE_AA)


def _lamp_or_badge(rng: np.random.Generator, photo: np.ndarray) -> None:
    """A red, amber or clear lamp, or a badge of chrome, darker at its rim."""
    height, width = photo.shape[:2]
    centre = int(rng.integers(width)), int(rng.integers(height))
    axes = np.array([rng.integers(4, 32), rng.integers(3, 12)])
    colour = LAMPS[rng.integers(len(LAMPS))] * rng.uniform(0.6, 1.1)
    turn = float(rng.uniform(-12, 12))
    for part, dim in ((1.0, 0.45), (0.85, 0.8), (0.5, 1.0)):
        shape = tuple(int(side) for side in np.maximum(1, axes * part))
        cv2.ellipse(photo, centre, shape, turn, 0, 360, tuple(float(c) for c in colour * dim), -1, cv2.LINE_AA)


def _mount(rng: np.random.Generator, photo: np.ndarray, plate: np.ndarray, corners: np.ndarray) -> None:
    """Warp the plate, with its holder or without, onto its four corners."""
    height, width = plate.shape[:2]
    source = np.array([[width, height], [0, height], [0, 0], [width, 0]], np.float32)
    rim = int(rng.integers(2, 7)) if rng.random() < 0.5 else 0
    if rim:
        holder = float(rng.choice([0.06, 0.06, 0.7]))
        below = rim * int(rng.integers(1, 3))
        plate = cv2.copyMakeBorder(plate, rim, below, rim, rim, cv2.BORDER_CONSTANT, value=(holder,) * 3)
        source += rim
    # only the part of the photo around the plate is touched
    reach = rim + SHADOW_PX * 3
    left, top = np.maximum(0, np.floor(corners.min(axis=0)) - reach).astype(int)
    right, bottom = (np.ceil(corners.max(axis=0)) + reach).astype(int)
    room = photo[top:bottom, left:right]
    matrix = cv2.getPerspectiveTransform(source - 0.5, (corners - (left, top) - 0.5).astype(np.float32))
    size = room.shape[1], room.shape[0]
    warped = cv2.warpPerspective(plate, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.warpPerspective(np.ones(plate.shape[:2], np.float32), matrix, size, flags=cv2.INTER_LINEAR)
    room *= 1 - 0.5 * cv2.GaussianBlur(cover, (0, 0), SHADOW_PX)[..., None]  # the plate's own shadow on the car
    room += cover[..., None] * (warped - room)


def _light(rng: np.random.Generator, photo: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Exposure, colour of the light, its fall-off, a shadow's edge across the plate, a lamp's reflection on it."""
    height, width = photo.shape[:2]
    xs, ys = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    across, down = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    gain = across * xs[None] + down * ys[:, None]  # a ramp from one side of the photo to the other
    gain = np.float32(rng.uniform(0.75, 1.1)) * (1 + np.float32(rng.uniform(0, 0.2)) * gain)
    centre = corners.mean(axis=0)
    if rng.random() < 0.2:
        place = (centre + rng.normal(0, 0.3, 2) * np.ptp(corners, axis=0)) / (width, height) * 2 - 1
        place = place.astype(np.float32)
        edge = across * (xs - place[0])[None] + down * (ys - place[1])[:, None]
        depth, softness = np.float32(rng.uniform(0.2, 0.5)), np.float32(rng.uniform(0.01, 0.15))
        gain *= 1 - depth * (0.5 + 0.5 * np.tanh(edge / softness))
    warmth = rng.normal(0, 0.04)
    tint = np.array([1 + warmth, 1, 1 - warmth], np.float32) + rng.normal(0, 0.015, 3).astype(np.float32)
    photo = cv2.multiply(photo, cv2.merge([gain * shade for shade in tint]))
    if rng.random() < 0.15:
        spot = centre + rng.normal(0, 0.35, 2) * np.ptp(corners, axis=0)
        spread = rng.uniform(0.08, 0.3) * np.ptp(corners[:, 0])
        glare = np.exp(-(((np.arange(width) - spot[0]) / spread) ** 2))[None]
        glare = glare * np.exp(-(((np.arange(height) - spot[1]) / spread) ** 2))[:, None]
        photo = photo + (rng.uniform(0.1, 0.4) * glare[..., None]).astype(np.float32)
    return photo


def _lens(rng: np.random.Generator, photo: np.ndarray) -> np.ndarray:
    """A good camera's softness and grain; what bad ones do is `data/degrade.py`'s business."""
    photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.35, 0.8))
    strength = np.float32(rng.uniform(0.002, 0.012))
    start = int(rng.integers(_GRAIN_COUNT - photo.size))
    return photo + strength * _grain()[start : start + photo.size].reshape(photo.shape)


@lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """Normal noise, from which every photo takes a stretch of its own: drawing it anew would be a fifth of a photo's cost."""
    return np.random.default_rng(0).standard_normal(_GRAIN_COUNT, dtype=np.float32)
