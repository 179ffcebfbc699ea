"""Training pictures for the detector: scenes put together from rendered vehicles and backgrounds, damaged as cameras
do.

Vehicles are cut out, to be put into any scene. Beside the renderer's plate designs there are ones of no country, and
two-line plates are more frequent than on roads: a detector should know a plate by what plates share.

Vehicles and backgrounds are rendered once into a bank (`open_bank`); a scene costs milliseconds then. A scene is (H, W,
3) uint8 RGB with the corners of its plates, (N, 4, 2) px in CCPD's order as they lie in the picture: a plate upside
down begins with what is its upper left corner. Scene number i of a seed is always the same.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from data.console import follow_parent
from data.degrade import disc_kernel, line_kernel, path_kernel
from data.files import reserve, sync, write_text
from data.io import to_uint8
from data.straighten import plate_width, rectangle
from data.synthetic import registrations
from data.synthetic.backgrounds import colour, draw_background, logo, sign, stripes, texture, words
from data.synthetic.canvas import (
    BROAD,
    FIXED,
    NARROW,
    ROADGEEK,
    Canvas,
    Face,
    Pen,
    clouds,
    draw_text,
    random_line,
    smooth,
    vary,
)
from data.synthetic.car import PAINTS
from data.synthetic.plates import BLACK, DRAWN_SHARE, WHITE, chinese_two_lines, draw_face, european_two_lines
from data.synthetic.registrations import FREE_RULES
from data.synthetic.rendering import photograph, place

# (height, width)
SCENE = (192, 256)
VEHICLE, BACKGROUND = (448, 512), (512, 512)
# px that a plate is wide in a vehicle's picture
PLATE_PX = (95, 175)
# shares of the vehicles' plates
NO_COUNTRY, TWO_LINES = 0.22, 0.14
# px that a plate to be found is wide in a scene; the detector looks at several sizes
NARROWEST, WIDEST = 18, 150
# level of what lies outside of the picture
OUTSIDE = 128
# shares of the scenes: upside down; without a plate; with one too close to be found; cut tightly around one
TURNED_OVER, NO_PLATE, HUGE, TIGHT = 0.08, 0.3, 0.05, 0.18


@dataclass(frozen=True)
class CutOut:
    """A vehicle: pixels (H, W, 4) uint8, the fourth its opacity; corners (4, 2) of its plate; whether this has two
    lines."""

    pixels: np.ndarray
    corners: np.ndarray
    two_lines: bool


@dataclass(frozen=True)
class Bank:
    """vehicles: (N, 448, 512, 4) uint8, with corners (N, 4, 2) and two_lines (N,) bool of their plates. backgrounds:
    (M, 512, 512, 3) uint8."""

    vehicles: np.ndarray
    corners: np.ndarray
    two_lines: np.ndarray
    backgrounds: np.ndarray


@dataclass(frozen=True)
class Scene:
    """corners: (N, 4, 2) of the plates to be found; two_lines, turned_over: (N,) bool of the same. ignored: (M, 4, 2)
    of plates partly hidden, which may be found or not."""

    picture: np.ndarray
    corners: np.ndarray
    two_lines: np.ndarray
    turned_over: np.ndarray
    ignored: np.ndarray


# --- The bank ---------------------------------------------------------------------------------------------------------


def open_bank(folder: Path, seed: int, vehicles: int, backgrounds: int, workers: int = 1) -> Bank:
    """The bank in `folder`, rendered where it is missing, damaged, or was made for other numbers. Files are mapped, not
    read. Raises OSError where the disk has no room for it."""
    about = json.dumps({"seed": seed, "vehicles": vehicles, "backgrounds": backgrounds})
    done = folder / "bank.json"
    names = ("vehicles", "corners", "two_lines", "backgrounds")
    files = [folder / f"{name}.npy" for name in names]
    if not done.exists() or done.read_bytes() != about.encode() or not all(file.exists() for file in files):
        folder.mkdir(parents=True, exist_ok=True)
        done.unlink(missing_ok=True)
        _render(folder, seed, vehicles, backgrounds, workers)
        for file in files:
            sync(file)
        write_text(done, about, durable=True)
    return Bank(*(np.load(file, mmap_mode="r") for file in files))


def _render(folder: Path, seed: int, vehicles: int, backgrounds: int, workers: int) -> None:
    from tqdm import tqdm

    open_file = partial(np.lib.format.open_memmap, mode="w+")
    pixels = open_file(folder / "vehicles.npy", dtype=np.uint8, shape=(vehicles, *VEHICLE, 4))
    grounds = open_file(folder / "backgrounds.npy", dtype=np.uint8, shape=(backgrounds, *BACKGROUND, 3))
    for name in ("vehicles", "backgrounds"):
        reserve(folder / f"{name}.npy", "the bank of rendered pictures")
    corners, two_lines = np.zeros((vehicles, 4, 2), np.float32), np.zeros(vehicles, bool)
    with _mapper(workers) as mapped, tqdm(total=vehicles + backgrounds, desc="rendering", unit="picture") as bar:
        for index, cut in enumerate(mapped(partial(_vehicle, seed), range(vehicles))):
            pixels[index], corners[index], two_lines[index] = cut.pixels, cut.corners, cut.two_lines
            bar.update()
        for index, ground in enumerate(mapped(partial(_background, seed), range(backgrounds))):
            grounds[index] = ground
            bar.update()
    pixels.flush()
    grounds.flush()
    np.save(folder / "corners.npy", corners)
    np.save(folder / "two_lines.npy", two_lines)


@contextmanager
def _mapper(workers: int) -> Iterator[Callable]:
    """An ordered map over this many processes. They are spawned, since a forked process with threads may hang."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _use_one_thread) as pool:
        yield partial(pool.map, chunksize=16)


def _use_one_thread() -> None:
    follow_parent()
    cv2.setNumThreads(1)


def _vehicle(seed: int, index: int) -> CutOut:
    return draw_vehicle(np.random.default_rng([seed, 1, index]))


def _background(seed: int, index: int) -> np.ndarray:
    return draw_background(np.random.default_rng([seed, 2, index]), BACKGROUND)


# --- Vehicles ---------------------------------------------------------------------------------------------------------


def draw_vehicle(rng: np.random.Generator) -> CutOut:
    width_px = np.exp(rng.uniform(*np.log(PLATE_PX)))
    face = draw_some_face(rng, width_px)
    # most plates take the room that their cars have for them
    mm_wide = 520 * rng.uniform(0.85, 1.1)
    corners = place(rng, VEHICLE, width_px, face.ink.shape[1] / face.ink.shape[0])
    middle = np.array(VEHICLE[::-1]) * (0.5 + rng.normal(0, 0.05), rng.uniform(0.58, 0.75))
    corners += middle - corners.mean(axis=0)
    # the car is drawn to the plate's scale, as if that were `mm_wide`
    height_mm = mm_wide * face.size_mm[1] / face.size_mm[0]
    photo = photograph(rng, replace(face, size_mm=(mm_wide, height_mm)), corners, VEHICLE)
    plate_mm = rectangle(mm_wide, height_mm).astype(np.float32)
    opacity = _silhouette(rng, photo, plate_mm, cv2.getPerspectiveTransform(plate_mm, corners.astype(np.float32)))
    return CutOut(np.dstack([photo, opacity]), corners, "/" in face.text)


def _silhouette(rng: np.random.Generator, photo: np.ndarray, plate_mm: np.ndarray, to_photo: np.ndarray) -> np.ndarray:
    """(H, W) uint8: the vehicle's outline; paints its windows, roof and wheels into the photo. Some fill the
    picture."""
    if rng.random() < 0.25:
        return np.full(photo.shape[:2], 255, np.uint8)
    pen, mask = Pen(photo, to_photo), Pen(np.zeros_like(photo), to_photo)
    aside = rng.normal(0, 60) if rng.random() < 0.9 else rng.uniform(-500, 500)
    half, belt, sill = rng.uniform(780, 980), rng.uniform(-520, -330), rng.uniform(130, 320)
    # vans, buses, lorries
    tall = rng.random() < 0.25
    roof = belt - (rng.uniform(600, 1300) if tall else rng.uniform(380, 560))
    taper = rng.uniform(0.9, 1.0) if tall else rng.uniform(0.62, 0.85)
    paint = PAINTS[rng.integers(len(PAINTS))] * rng.uniform(0.5, 1.1)
    cabin = np.array([[half * 0.97, belt + 40], [half * taper, roof + 60], [half * taper * 0.9, roof]])
    shift = np.array([aside, 0])
    cabin = smooth(np.vstack([cabin, cabin[::-1] * [-1, 1]])) + shift
    pen.fill(cabin, paint)
    glass = (cabin - [aside, (belt + roof) / 2]) * [rng.uniform(0.8, 0.93), rng.uniform(0.6, 0.85)] + [
        aside,
        (belt + roof) / 2,
    ]
    panes = texture(rng, photo.shape[:2], (rng.uniform(15, 90),) * 3, colour(rng, 0.1))
    pen.fill_from(glass, panes)
    # writing above or on the windscreen: a bus's line, a taxi's sign
    if rng.random() < 0.3:
        spot = pen.pixels(np.array([[aside, roof + rng.uniform(-60, 200)]]))[0, 0] / 16
        draw_text(rng, photo, random_line(rng), spot, rng.uniform(60, 200) * pen.px_per_mm, colour(rng, 0.7), turn=0)
    for side in (-1, 1):
        wheel = np.array(
            [[half * 0.7, sill - 120], [half * 0.95, sill - 120], [half * 0.95, sill + 180], [half * 0.7, sill + 180]]
        )
        pen.fill(wheel * [side, 1] + [aside, 0], (22, 22, 24))
        mask.fill(wheel * [side, 1] + [aside, 0], (255,) * 3)
    right = np.array([[half * 0.96, belt - 30], [half, belt + 90], [half, sill - 60], [half * 0.94, sill]])
    body = np.vstack([right, right[::-1] * [-1, 1]]) + shift
    for shape in (body, cabin, plate_mm * 1.1):
        mask.fill(shape, (255,) * 3)
    return cv2.blur(mask.photo[..., 0], (3, 3))


def draw_some_face(rng: np.random.Generator, width_px: float) -> Face:
    """A plate by the renderer's designs, or one of no country."""
    kind = rng.random()
    if kind < NO_COUNTRY:
        return _of_no_country(rng, width_px)
    if kind < NO_COUNTRY + TWO_LINES:
        width_mm, design = ((440, chinese_two_lines), (280, european_two_lines))[rng.integers(2)]
        return design(rng, DRAWN_SHARE * width_px / width_mm, FREE_RULES)
    return draw_face(rng, width_px, FREE_RULES)


def _of_no_country(rng: np.random.Generator, width_px: float) -> Face:
    """Any colours, border, band, font and proportions; four to nine characters in one line or two."""
    two_lines = rng.random() < 0.3
    width = 440.0
    height = width / (rng.uniform(1.05, 2.0) if two_lines else rng.uniform(1.9, 5.2))
    scale = DRAWN_SHARE * width_px / width
    pairs = (
        (WHITE, BLACK),
        (BLACK, WHITE),
        ((0.95, 0.75, 0.1), BLACK),
        ((0.1, 0.25, 0.6), WHITE),
        (WHITE, (0.6, 0.1, 0.1)),
    )
    back, ink = pairs[rng.integers(len(pairs))]
    if rng.random() < 0.3:
        back = tuple(rng.uniform(0.03, 0.97, 3))
        ink = BLACK if np.mean(back) > 0.45 else WHITE
    back, ink = vary(rng, back), vary(rng, ink)
    canvas = Canvas(width, height, scale, back)
    left, right = 6.0, width - 6
    if rng.random() < 0.3:
        band = rng.uniform(25, 60)
        canvas.rectangle(0, 0, band, height, vary(rng, tuple(rng.uniform(0, 0.9, 3))))
        left = band + 4
    if rng.random() < 0.6:
        canvas.border(rng.uniform(1, 6), rng.uniform(1, 5), 8, ink)
    font = str(rng.choice([*ROADGEEK, *NARROW, *BROAD, *FIXED]))
    lines = [_characters(rng, two_lines) for _ in range(2 if two_lines else 1)]
    rim = height * rng.uniform(0.08, 0.24)
    room = (height - 2 * rim) / len(lines)
    for index, groups in enumerate(lines):
        deep = room * (0.85 if two_lines else 1)
        canvas.line(rng, groups, font, (left, right), (rim + index * room, deep), ink)
    if rng.random() < 0.2:
        canvas.small_print(str(rng.choice(registrations.STATES)), width / 2, rim * 0.2, rim * 0.6, ink)
    return canvas.face("/".join("".join(line) for line in lines), "??")


def _characters(rng: np.random.Generator, two_lines: bool) -> list[str]:
    count = int(rng.integers(2, 6) if two_lines else rng.integers(4, 10))
    text = "".join(
        registrations.pick(rng, registrations.DIGITS if rng.random() < 0.55 else registrations.LETTERS, 1)
        for _ in range(count)
    )
    cut = sorted(rng.integers(1, count, rng.integers(0, 3)).tolist())
    return [part for part in (text[a:b] for a, b in zip([0, *cut], [*cut, count], strict=True)) if part]


# --- Scenes -----------------------------------------------------------------------------------------------------------


def make_scene(bank: Bank, seed: int, index: int) -> Scene:
    rng = np.random.default_rng([seed, 3, index])
    picture = _ground(rng, bank)
    plates: list[_Plate] = []
    kind = rng.random()
    tight = kind > 1 - TIGHT
    if kind < NO_PLATE:
        for _ in range(rng.poisson(1.2)):
            _distract(rng, picture, [])
        if rng.random() < 0.35:
            _vehicle_without_plate(rng, bank, picture)
    elif kind < NO_PLATE + HUGE:
        # too close: not to be found at this size
        _put(rng, bank, picture, [], np.exp(rng.uniform(np.log(210), np.log(800))), (0.5, 0.5))
    else:
        wanted = 1 if tight else 1 + (rng.random() < 0.3) + (rng.random() < 0.15)
        width = np.exp(rng.uniform(np.log(55 if tight else NARROWEST), np.log(WIDEST)))
        for _ in range(wanted):
            plates = _put(rng, bank, picture, plates, width * rng.uniform(0.8, 1.0), (0.18, 0.82))
        for _ in range(rng.poisson(0.2 if tight else 0.6)):
            _distract(rng, picture, plates)
    reference = (
        float(np.mean([plate_width(plate.corners) for plate in plates])) if plates else np.exp(rng.uniform(3, 5))
    )
    picture = damage(rng, picture, reference)
    if plates and tight:
        picture = _cut_tight(rng, picture, plates[0].corners)
    turned = rng.random() < TURNED_OVER
    if turned:
        picture = np.ascontiguousarray(picture[::-1, ::-1])
        plates = [replace(plate, corners=np.roll(SCENE[::-1] - plate.corners, 2, axis=0)) for plate in plates]
    seen = [plate for plate in plates if not plate.hidden]
    return Scene(
        picture,
        _stacked(seen),
        np.array([plate.two_lines for plate in seen], bool),
        np.full(len(seen), turned),
        _stacked([plate for plate in plates if plate.hidden]),
    )


@dataclass(frozen=True)
class _Plate:
    corners: np.ndarray
    two_lines: bool
    hidden: bool = False


def _stacked(plates: list[_Plate]) -> np.ndarray:
    return np.array([plate.corners for plate in plates], np.float32).reshape(-1, 4, 2)


def _ground(rng: np.random.Generator, bank: Bank) -> np.ndarray:
    ground = bank.backgrounds[rng.integers(len(bank.backgrounds))]
    zoom = np.exp(rng.uniform(np.log(0.65), np.log(2.2)))
    height, width = (round(side / zoom) for side in SCENE)
    top, left = rng.integers(BACKGROUND[0] - height + 1), rng.integers(BACKGROUND[1] - width + 1)
    cut = np.ascontiguousarray(ground[top : top + height, left : left + width])
    if rng.random() < 0.5:
        cut = cut[:, ::-1]
    return cv2.resize(cut, SCENE[::-1], interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)


def _put(rng, bank: Bank, picture: np.ndarray, plates: list, width_px: float, span: tuple) -> list:
    """Put a vehicle, or a plate alone, into the picture; returns the plates, those that it hides marked or left out."""
    number = rng.integers(len(bank.vehicles))
    source, corners = bank.vehicles[number], bank.corners[number].astype(np.float64)
    plate_only = rng.random() < 0.2
    if plate_only:
        # with some of what is around it
        middle = corners.mean(axis=0)
        reach = middle + (corners - middle) * rng.uniform(1, 1.5, 2)
        opacity = np.zeros(source.shape[:2], np.uint8)
        cv2.fillConvexPoly(opacity, reach.round().astype(np.int32), 255, cv2.LINE_AA)
        source = np.dstack([source[..., :3], opacity])
    scale = width_px / plate_width(corners)
    # halved first: a warp alone would skip pixels
    while scale < 0.6:
        source = cv2.resize(source, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        corners, scale = corners / 2, scale * 2
    turn = rng.uniform(-0.45, 0.45) if rng.random() < 0.25 else rng.normal(0, 0.06)
    shape = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * scale
    shape = shape @ np.array([[1, rng.normal(0, 0.05)], [0, np.exp(rng.normal(0, 0.06))]])
    place = rng.uniform(*span, 2) * SCENE[::-1]
    away = place - shape @ corners.mean(axis=0)
    # OpenCV counts from the middle of the first pixel, corners from its edge
    matrix = np.column_stack([shape, away + shape @ [0.5, 0.5] - 0.5])
    moved = cv2.warpAffine(source, matrix, SCENE[::-1], flags=cv2.INTER_LINEAR)
    opacity = moved[..., 3]
    plates = _covered(plates, opacity)
    dim = rng.random() < 0.3 and not plate_only
    front = cv2.convertScaleAbs(moved[..., :3], alpha=rng.uniform(0.4, 1)) if dim else moved[..., :3]
    weight = opacity[..., None].astype(np.uint16)
    picture[:] = (front * weight + picture * (255 - weight) + 127) // 255
    mine = corners @ shape.T + away
    return [*plates, _Plate(mine, bool(bank.two_lines[number]))]


def _covered(plates: list[_Plate], opacity: np.ndarray) -> list[_Plate]:
    """The plates that are still partly visible under a new layer."""
    shares = [cv2.mean(opacity, _mask(plate.corners))[0] / 255 for plate in plates]
    return [
        replace(plate, hidden=plate.hidden or share > 0.15)
        for plate, share in zip(plates, shares, strict=True)
        if share < 0.9
    ]


def _vehicle_without_plate(rng: np.random.Generator, bank: Bank, picture: np.ndarray) -> None:
    """A vehicle whose plate is painted over or bears something else."""
    before = picture.copy()
    width = np.exp(rng.uniform(np.log(NARROWEST), np.log(WIDEST)))
    (plate,) = _put(rng, bank, picture, [], width, (0.1, 0.9))
    points = plate.corners
    middle = points.mean(axis=0)
    reach = (middle + (points - middle) * 1.25).round().astype(np.int32)
    cover = before if rng.random() < 0.3 else np.full_like(picture, colour(rng, 0.3))
    if rng.random() < 0.5:
        stripes(rng, cover)
    mask = np.zeros(SCENE, np.uint8)
    cv2.fillConvexPoly(mask, reach, 255)
    cv2.copyTo(cover, mask, picture)


def _distract(rng: np.random.Generator, picture: np.ndarray, plates: list[_Plate]) -> None:
    """A sign, words, a logo or bars, anywhere but on a plate."""
    kept = picture.copy() if plates else None
    (sign, sign, words, logo, stripes)[rng.integers(5)](rng, picture)
    for plate in plates:
        points = plate.corners
        middle = points.mean(axis=0)
        mask = _mask(middle + (points - middle) * 1.15)
        cv2.copyTo(kept, mask, picture)


def _mask(points: np.ndarray) -> np.ndarray:
    mask = np.zeros(SCENE, np.uint8)
    cv2.fillConvexPoly(mask, np.round(points).astype(np.int32), 255)
    return mask


def _cut_tight(rng: np.random.Generator, picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """What people cut out of a photo: little more than the plate, now and then a little less."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = rng.uniform(-0.04, 0.3, (2, 2)) * (high - low)
    if rng.random() < 0.3:
        margin = rng.uniform(0.2, 1.5, (2, 2)) * (high - low)
    left, top = np.maximum(0, low - margin[0]).astype(int)
    right, bottom = (high + margin[1]).astype(int) + 1
    cut = np.full_like(picture, OUTSIDE)
    cut[top:bottom, left:right] = picture[top:bottom, left:right]
    return cut


# --- Damage -----------------------------------------------------------------------------------------------------------


def damage(rng: np.random.Generator, picture: np.ndarray, plate_px: float) -> np.ndarray:
    """Blur, few pixels, darkness, tints, noise, coding, in 8 bits for speed; lengths go by the plate's width in px."""
    if rng.random() < 0.55:
        kernel = _kernel(rng, plate_px * rng.beta(1, 2.2))
        picture = cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    if rng.random() < 0.2:
        picture = _uneven(rng, picture)
    picture = cv2.LUT(picture, _curves(rng))
    if rng.random() < 0.12:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
        share = rng.uniform(0, 0.3)
        picture = (
            np.repeat(grey, 3, 2)
            if rng.random() < 0.6
            else cv2.addWeighted(picture, share, np.repeat(grey, 3, 2), 1 - share, 0)
        )
    small = rng.random() < 0.4
    if small:
        factor = rng.uniform(1.2, max(1.3, min(5, plate_px / 16)))
        size = [round(side / factor) for side in SCENE[::-1]]
        picture = cv2.resize(picture, size, interpolation=(cv2.INTER_AREA, cv2.INTER_LINEAR)[rng.integers(2)])
    if rng.random() < 0.6:
        picture = _noise(rng, picture, 22 * rng.beta(1, 3))
    if rng.random() < 0.15:
        soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.8, 2))
        picture = cv2.addWeighted(picture, 2, soft, -1, 0)
    if rng.random() < 0.55:
        quality = int(rng.integers(15, 97))
        stream = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        picture = cv2.imdecode(stream, cv2.IMREAD_COLOR)
    if small:
        picture = cv2.resize(picture, SCENE[::-1], interpolation=(cv2.INTER_CUBIC, cv2.INTER_LINEAR)[rng.integers(2)])
    return picture


def _kernel(rng: np.random.Generator, strength: float) -> np.ndarray:
    """A blur whose extent grows with `strength`, px: about a fifth of it for lines, less for discs."""
    kind = rng.random()
    if kind < 0.3:
        sigma = max(0.3, 0.06 * strength)
        side = 2 * int(np.ceil(2.5 * sigma)) + 1
        line = cv2.getGaussianKernel(side, sigma)
        return (line @ line.T).astype(np.float32)
    if kind < 0.5:
        return disc_kernel(max(0.5, 0.08 * strength))
    length = max(1.0, 0.25 * strength)
    if kind < 0.8:
        angle = rng.normal(0, 15) if rng.random() < 0.5 else rng.uniform(0, 180)
        return line_kernel(length, angle)
    return path_kernel(length, rng.uniform(0, 360), rng.uniform(0.1, 1), int(rng.integers(2**31)))


def _curves(rng: np.random.Generator) -> np.ndarray:
    """(256, 1, 3) uint8: exposure, tone curve, contrast, veil and tint as one table."""
    value = np.linspace(0, 1, 256)[:, None] * np.ones(3)
    if rng.random() < 0.5:
        value = value ** np.exp(rng.normal(0, 0.35))
    if rng.random() < 0.55:
        stops = -4.5 * rng.beta(1, 1.4) if rng.random() < 0.75 else rng.uniform(0, 2)
        value = value * 2 ** (stops / 2)
    if rng.random() < 0.4:
        value = value * np.exp(rng.normal(0, 0.15 if rng.random() < 0.7 else 0.5, 3))
    if rng.random() < 0.2:
        value = value + rng.uniform(0, 0.6) * (rng.random(3) - value)
    if rng.random() < 0.3:
        value = 0.5 + rng.uniform(0.5, 1.4) * (value - 0.5)
    if rng.random() < 0.02:
        value = 1 - value
    return to_uint8(value)[:, None]


def _uneven(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Light that falls off, shadows, a lamp's glare."""
    field = clouds(rng, (32, 40), int(rng.integers(1, 5))).astype(np.float32)
    field = cv2.resize(field, SCENE[::-1], interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.3:
        field = 0.5 + 0.5 * np.tanh((field - 0.5) * 20)
    field = np.exp2(rng.uniform(-2, 1) * field)[..., None]
    return np.clip(picture * field, 0, 255).astype(np.uint8)


_NOISE = None


def _noise(rng: np.random.Generator, picture: np.ndarray, deviation: float) -> np.ndarray:
    """Sensor noise, cut from one long stretch: drawing it anew would cost more than all the rest."""
    global _NOISE
    if _NOISE is None:
        _NOISE = np.random.default_rng(0).standard_normal(1_500_000, np.float32)
    start = int(rng.integers(_NOISE.size - picture.size))
    noise = _NOISE[start : start + picture.size].reshape(picture.shape)
    if rng.random() < 0.4:
        noise = np.repeat(noise[..., :1], 3, axis=2)
    if rng.random() < 0.3:
        noise = 1.8 * cv2.blur(noise, (2, 2))
    return np.clip(picture + deviation * noise, 0, 255).astype(np.uint8)
