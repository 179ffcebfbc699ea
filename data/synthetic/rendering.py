"""Renders photos of plates into a folder: a plate's face, its wear, where it stands, how it is fixed, the car, the
illumination, the lens.

Every photo follows from (seed, its number) alone: the same seed gives the same bytes, whatever the number of workers.
Photos are (H, W, 3) RGB, faces float32 in [0, 1]; corners are (x, y) pixels in CCPD's order, from the bottom right
clockwise. The wear stays below what would hide a character: the tile made of this photo is a clean target.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from data.ccpd import CHINA, PROVINCES, format_name
from data.console import follow_parent, map_ahead
from data.files import replacing, write_bytes
from data.io import to_uint8
from data.straighten import rectangle
from data.synthetic import registrations
from data.synthetic.canvas import SMALL_PRINT, Face, aspect, clouds, glyph
from data.synthetic.car import draw_car
from data.synthetic.plates import DESIGNS, VARIED_DESIGNS, draw_face
from data.synthetic.registrations import FREE_RULES, RULES, VARIED_RULES

# height, width
FRAME = (360, 480)
# width of the plate in the photo
PLATE_PX = (150, 400)
# photos cut close to the plate's sides, as people cut them
TIGHT_SHARE = 0.2
# photos a worker renders per task
BATCH = 32
# registration numbers and designs: the benchmark's, the same with freer letters, and more of both for training
VARIETIES = {
    "benchmark": (RULES, DESIGNS),
    "any letters": (FREE_RULES, DESIGNS),
    "varied": (VARIED_RULES, VARIED_DESIGNS),
}


def render(seed: int, index: int, variety: str = "benchmark") -> tuple[np.ndarray, np.ndarray, str, str]:
    """Photo number `index`: (H, W, 3) uint8 RGB, corners (4, 2) in CCPD's order, plate text, country."""
    rng = np.random.default_rng([seed, index])
    width_px = np.exp(rng.uniform(*np.log(PLATE_PX)))
    face = draw_face(rng, width_px, *VARIETIES[variety])
    corners = place(rng, FRAME, width_px, face.ink.shape[1] / face.ink.shape[0])
    photo = photograph(rng, face, corners, FRAME)
    if rng.random() < TIGHT_SHARE:
        photo, corners = _tight(rng, photo, corners)
    return photo, corners, face.text, face.country


def _tight(rng: np.random.Generator, photo: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut the photo close to the plate's left and right, up to an eighth of its width away.

    Above and below stays what a tile needs: else it would be filled by reflection, with mirrored characters in the
    target.
    """
    low, high = corners.min(axis=0), corners.max(axis=0)
    left, right = np.array([low[0], high[0]]) + [-1, 1] * rng.uniform(0.0, 0.12, 2) * (high[0] - low[0])
    middle, half = (low[1] + high[1]) / 2, max(0.35 * (right - left), 0.65 * (high[1] - low[1]))
    left, right = max(0, int(left)), min(photo.shape[1], int(np.ceil(right)))
    top, bottom = max(0, int(middle - half)), min(photo.shape[0], int(np.ceil(middle + half)))
    return photo[top:bottom, left:right], corners - (left, top)


def write_photo(folder: Path, seed: int, index: int, variety: str = "benchmark") -> tuple[str, str, str]:
    """Render photo number `index` into `folder`; returns its row of text.csv."""
    photo, corners, text, country = render(seed, index, variety)
    name = _name(photo, corners, text, country, index)
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "JPEG", quality=94, subsampling=0)
    write_bytes(folder / name, stream.getvalue())
    return name, text, country


def _name(photo: np.ndarray, corners: np.ndarray, text: str, country: str, index: int) -> str:
    """CCPD's name. Its first field is the plate's share of the photo; the photo's number behind it keeps names
    apart."""
    spelled = text if country == CHINA and text[0] in PROVINCES and text.isalnum() and text[-1] != "警" else ""
    x, y = corners.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2 / (photo.shape[0] * photo.shape[1])
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    tilt = tuple(round(90 + np.rad2deg(np.arctan2(*(corners[a] - corners[b])[::-1]))) for a, b in ((0, 1), (3, 2)))
    sharpness = int(cv2.Laplacian(grey, cv2.CV_32F).var())
    inside = np.minimum(corners.round(), (photo.shape[1] - 1, photo.shape[0] - 1)).clip(0)
    points = tuple((float(x), float(y)) for x, y in inside)
    stem = format_name(points, spelled, f"{area:.5f}"[2:] + f"{index:07d}", tilt, int(grey.mean()), sharpness)
    return f"{stem}.jpg"


def write_photos(folder: Path, seed: int, variety: str, indices: range) -> list[tuple[str, str, str]]:
    # the processes are the parallelism
    cv2.setNumThreads(1)
    return [write_photo(folder, seed, index, variety) for index in indices]


def render_folder(folder: Path, count: int, seed: int = 0, workers: int = 1, variety: str = "benchmark") -> None:
    """Write `count` photos and their text.csv. Raises ValueError if the folder holds anything already."""
    make_new(folder)
    batches = [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]
    rows: list[tuple[str, str, str]] = []
    with tqdm(total=count, unit="photo", desc="rendering") as bar:
        for batch in in_order(partial(write_photos, folder, seed, variety), batches, workers):
            rows += batch
            bar.update(len(batch))
    _write_texts(folder / "text.csv", rows)


def make_new(folder: Path) -> None:
    """Raises ValueError if the folder holds anything already."""
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: give a new --out")
    folder.mkdir(parents=True, exist_ok=True)


def in_order(function, batches: Sequence, workers: int) -> Iterator:
    """What the function makes of each batch, in their order, in so many processes."""
    if workers == 1:
        yield from map(function, batches)
        return
    with ProcessPoolExecutor(workers, initializer=follow_parent) as pool:
        yield from map_ahead(pool, function, batches, 2 * workers)


def _write_texts(path: Path, rows: list[tuple[str, str, str]]) -> None:
    with replacing(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "text", "country"))
        writer.writerows(rows)


def draw_sheet(path: Path, seed: int, variety: str = "benchmark", columns: int = 6, rows: int = 10) -> None:
    """One PNG of columns x rows photos, the first of the seed, each fitted into the same cell."""
    height, width = FRAME[0] // 2, FRAME[1] // 2
    sheet = np.full((rows * (height + 4), columns * (width + 4), 3), 255, np.uint8)
    for index in range(columns * rows):
        photo = render(seed, index, variety)[0]
        fit = min(height / photo.shape[0], width / photo.shape[1])
        small = cv2.resize(photo, None, fx=fit, fy=fit, interpolation=cv2.INTER_AREA)
        top, left = (index // columns) * (height + 4), (index % columns) * (width + 4)
        sheet[top : top + small.shape[0], left : left + small.shape[1]] = small
    with replacing(path) as file:
        Image.fromarray(sheet).save(file, format="PNG")


# --- A photo: the plate in its place, lit and seen through a lens -----------------------------------------------------

# softness of the plate's own shadow
SHADOW_PX = 4
# illumination changes slowly: it is computed at a third of the photo's size
ILLUMINATION_STEP = 3
# photos at night, the plate lit from above by its own lamps
NIGHT_SHARE = 0.08
_GRAIN_COUNT = 4_000_000


def place(rng: np.random.Generator, size: tuple[int, int], width_px: float, aspect: float) -> np.ndarray:
    """Corners (4, 2) of a plate `width_px` wide, turned in space and put somewhere inside a frame of `size` (height,
    width).

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
    # a wide plate must still fit into the frame
    points *= min(1.0, *((np.array(size[::-1]) - 8) / (high - low)))
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array(size[::-1]) - (high - low) - 8
    return points - low + 4 + room * rng.uniform(0.15, 0.85, 2)


def photograph(rng: np.random.Generator, face: Face, corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The photo, (H, W, 3) uint8: the worn face on a car at `corners`, lit and seen through a lens."""
    plate_mm = rectangle(*face.size_mm).astype(np.float32)
    car = draw_car(rng, size, cv2.getPerspectiveTransform(plate_mm, corners.astype(np.float32)))
    night = rng.random() < NIGHT_SHARE
    gain, shine = _illumination(rng, size, corners, night)
    plate = wear(rng, face)
    if night:
        plate *= _plate_lamps(rng, plate.shape[:2])
        gain *= np.float32(rng.uniform(0.8, 1.0))
        car = cv2.convertScaleAbs(car, alpha=rng.uniform(0.15, 0.5))
    # into a buffer, and by a product, not the quotient of `to_float`: the frozen benchmark was drawn so
    photo = np.multiply(car, np.float32(1 / 255), out=_buffer((*size, 3), 0), dtype=np.float32)
    mount(rng, photo, plate, corners, face.size_mm[0])
    photo *= gain
    if shine is not None:
        photo += shine[..., None]
    return _lens(rng, photo)


def mount(rng: np.random.Generator, photo: np.ndarray, plate: np.ndarray, corners: np.ndarray, width_mm: float) -> None:
    """Warp the plate, with its holder or without, onto its four corners in the float `photo`."""
    height, width = plate.shape[:2]
    source = np.array([[width, height], [0, height], [0, 0], [width, 0]], np.float32)
    # px above, below, at the sides
    rims = (0, 0, 0)
    if rng.random() < 0.5:
        plate, rims = framed(rng, plate, width / width_mm)
        source += np.float32([rims[2], rims[0]])
    # only the part of the photo around the plate is touched
    reach = max(rims) + SHADOW_PX * 3
    left, top = np.maximum(0, np.floor(corners.min(axis=0)) - reach).astype(int)
    right, bottom = (np.ceil(corners.max(axis=0)) + reach).astype(int)
    room = photo[top:bottom, left:right]
    matrix = cv2.getPerspectiveTransform(source - 0.5, (corners - (left, top) - 0.5).astype(np.float32))
    size = room.shape[1], room.shape[0]
    warped = cv2.warpPerspective(plate, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.warpPerspective(np.ones(plate.shape[:2], np.float32), matrix, size, flags=cv2.INTER_LINEAR)
    shadow = cv2.GaussianBlur(cover, (0, 0), SHADOW_PX)
    # the plate's own shadow on the car lies lower than the plate
    fall = rng.uniform(0, 5), rng.uniform(1, 6)
    shadow = cv2.warpAffine(
        shadow, np.float32([[1, 0, fall[0]], [0, 1, fall[1]]]), size, borderMode=cv2.BORDER_REPLICATE
    )
    room *= 1 - np.float32(rng.uniform(0.3, 0.75)) * shadow[..., None]
    room += cover[..., None] * (warped - room)


def _illumination(
    rng: np.random.Generator, size: tuple[int, int], corners: np.ndarray, night: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Factors (H, W, 3) by which illumination, its colour and shadows change the photo; reflections (H, W) to add, or
    None."""
    height, width = -(-size[0] // ILLUMINATION_STEP), -(-size[1] // ILLUMINATION_STEP)
    xs, ys = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    across, down = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    # a ramp from one side of the photo to the other
    gain = across * xs[None] + down * ys[:, None]
    gain = np.float32(rng.uniform(0.85, 1.3)) * (1 + np.float32(rng.uniform(0, 0.2)) * gain)
    grime = clouds(rng, (height, width), int(rng.integers(3, 40))) - np.float32(0.5)
    gain *= 1 + np.float32(rng.uniform(0, 0.12)) * grime
    box = np.ptp(corners, axis=0)
    centre = corners.mean(axis=0) / size[::-1] * 2 - 1
    if rng.random() < 0.2 and not night:
        spot = (centre + rng.normal(0, 0.3, 2) * box / size[::-1] * 2).astype(np.float32)
        edge = across * (xs - spot[0])[None] + down * (ys - spot[1])[:, None]
        # not a wall's straight shadow but a tree's
        if rng.random() < 0.5:
            edge += np.float32(rng.uniform(0.1, 0.5)) * (clouds(rng, (height, width), int(rng.integers(4, 12))) - 0.5)
        depth, softness = np.float32(rng.uniform(0.2, 0.5)), np.float32(rng.uniform(0.01, 0.15))
        gain *= 1 - depth * (0.5 + 0.5 * np.tanh(edge / softness))
    warmth, green = rng.normal(0, 0.05), rng.normal(0, 0.02)
    tint = np.array([1 + warmth, 1 + green, 1 - warmth], np.float32) * np.float32(rng.uniform(0.97, 1.03, 3))
    full = cv2.resize(gain[..., None] * tint, size[::-1], dst=_buffer((*size, 3), 1), interpolation=cv2.INTER_LINEAR)
    if rng.random() >= 0.3:
        return full, None
    return full, _shine(rng, size, centre, box, xs, ys)


def _shine(rng: np.random.Generator, size: tuple[int, int], centre: np.ndarray, box: np.ndarray, xs, ys) -> np.ndarray:
    """A lamp's reflection on the plate, or a pale veil of sky over a side of it; (H, W)."""
    spot = centre + rng.normal(0, 0.35, 2) * box / size[::-1] * 2
    small = rng.random() < 0.5
    spread = box[0] / size[1] * 2 * (rng.uniform(0.06, 0.2) if small else rng.uniform(0.4, 1.2))
    upright = size[0] / size[1] * rng.uniform(0.7, 1.4)
    glare = (
        np.exp(-(((xs - spot[0]) / spread) ** 2))[None] * np.exp(-(((ys - spot[1]) / spread * upright) ** 2))[:, None]
    )
    strength = rng.uniform(0.1, 0.4) if small else rng.uniform(0.03, 0.16)
    return cv2.resize((strength * glare).astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)


def _plate_lamps(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """(H, W, 1) factors: one or two small lamps above the plate, bright spots near its upper edge fading downwards."""
    height, width = shape
    x, y = np.arange(width, dtype=np.float32)[None] / width, np.arange(height, dtype=np.float32)[:, None] / height
    level, spread, below = rng.uniform(0.55, 0.95), rng.uniform(0.12, 0.3), rng.uniform(0.25, 0.8)
    light = np.full(shape, level, np.float32)
    for spot in ((0.5,), (0.5 - rng.uniform(0.12, 0.3), 0.5 + rng.uniform(0.12, 0.3)))[rng.integers(2)]:
        light += rng.uniform(0.15, 0.5) * np.exp(-(((x - spot) / spread) ** 2)) * np.exp(-((y / below) ** 2))
    return light.astype(np.float32)[..., None]


def _lens(rng: np.random.Generator, photo: np.ndarray) -> np.ndarray:
    """A good camera's softness and grain, then 8 bits; what bad ones do is `data/degrade.py`'s business."""
    photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.35, 0.8), dst=photo)
    strength = rng.uniform(0.002, 0.012)
    start = int(rng.integers(_GRAIN_COUNT - photo.size))
    grain = _grain()[start : start + photo.size].reshape(photo.shape)
    np.maximum(cv2.scaleAdd(grain, strength, photo, dst=photo), 0, out=photo)
    # rounds, and cuts at 255
    return to_uint8(photo)


@lru_cache(maxsize=8)
def _buffer(shape: tuple[int, ...], number: int) -> np.ndarray:
    """Memory for a photo in the making, the same for every photo: fresh pages of this size cost more than what is
    written into them. Not for threads."""
    return np.empty(shape, np.float32)


@lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """Normal noise, from which every photo takes a stretch of its own: drawing it anew would be a fifth of a photo's
    cost."""
    return np.random.default_rng(0).standard_normal(_GRAIN_COUNT, dtype=np.float32)


# --- A plate as it looks on the road ----------------------------------------------------------------------------------

BOLTS = (
    (0.75, 0.75, 0.75),
    (0.45, 0.45, 0.47),
    (0.15, 0.15, 0.16),
    (0.9, 0.9, 0.88),
    (0.6, 0.1, 0.1),
    (0.1, 0.2, 0.55),
)


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
    # elsewhere than in China holders hide them, or they are painted over
    if rng.random() < (0.75 if face.country == CHINA else 0.25):
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
    widths = [round(aspect(SMALL_PRINT, char) * height) if char != " " else height // 2 for char in text]
    gap = max(1, height // 6)
    left = max(0, (picture.shape[1] - sum(widths) - gap * len(text)) // 2)
    for char, width in zip(text, widths, strict=True):
        if char != " ":
            mask = glyph(SMALL_PRINT, char, height, width)[..., None]
            room = picture[top : top + height, left : left + width]
            room += mask[: room.shape[0], : room.shape[1]] * (ink - room)
        left += width + gap
