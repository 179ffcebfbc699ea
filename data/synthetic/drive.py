"""Renders short films: cars come nearer or drive away, turn, are shaken by the camera, and are coded as films are.

A car is drawn once, as a flat cut-out in millimetres around its plate, and put into every frame by the homography of a
pinhole camera. All that a camera does to a moving plate happens here: blur by movement while the shutter is open,
defocus, darkness, noise, and H.264. Frames are (H, W, 3) uint8 RGB; corners are (x, y) px in CCPD's order.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from data.files import replacing
from data.io import to_float, to_uint8
from data.straighten import rectangle
from data.synthetic.canvas import Pen, clouds, smooth
from data.synthetic.plates import DESIGNS, draw_face
from data.synthetic.registrations import RULES
from data.synthetic.rendering import VARIETIES, in_order, make_new, photograph

# height, width
FRAME = (720, 1280)
FRAMES = 45
# a second
RATE = 15
# of the cut-out, in mm from the plate's middle: left and right, above, below
REACH_MM, ABOVE_MM, BELOW_MM = 930, 1080, 330
# of the cut-out: a plate of 520 mm is 290 px wide, more than in any frame
PX_PER_MM = 0.55
# of the plate at the far and the near end of its way, as shares of the frame's width
FAR_SHARE, NEAR_SHARE = (0.022, 0.05), (0.06, 0.13)
FOCAL_SHARE = 1.1
# mm to either side of the road's middle
LANE_MM = 1650
SECOND_CAR = 0.35
# moments of an exposure
MOMENTS = 5
COLUMNS = ("frame", "seconds", "car", "x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4", "text", "country")


@dataclass(frozen=True)
class Sight:
    """A plate that can be seen whole in a frame."""

    car: int
    corners: np.ndarray
    text: str
    country: str


@dataclass(frozen=True, eq=False)
class Car:
    """cut_outs: (h, w, 4) float32 in [0, 1], opacity last, each half as large as the one before. far, near: mm to the
    camera at either end of the way."""

    cut_outs: tuple[np.ndarray, ...]
    plate_mm: np.ndarray
    text: str
    country: str
    far: float
    near: float
    aside: float
    height: float
    yaw: tuple[float, float]
    leaves: bool


@dataclass(frozen=True)
class Camera:
    """What the whole film is seen through; shake in px of the frame, exposure as a share of the time between frames."""

    shake: float
    tilt: float
    exposure: float
    brightness: float
    noise: float
    defocus: float
    quality: int


def drive(
    seed: int, index: int, size: tuple[int, int] = FRAME, count: int = FRAMES, faces: tuple = (RULES, DESIGNS)
) -> Iterator[tuple[np.ndarray, list[Sight]]]:
    """Film number `index` before it is coded, frame by frame: the picture, and the plates that can be seen whole.
    faces: the rules of registrations and the designs of plates."""
    rng = np.random.default_rng([seed, index, 32])
    camera = _camera(rng, size)
    lane = rng.choice([-1, 1])
    lanes = (lane, -lane) if rng.random() < SECOND_CAR else (lane,)
    cars = [_car(rng, size, each * LANE_MM, faces) for each in lanes]
    street = _street(rng, (size[0] + size[0] // 4, size[1] + size[1] // 4))
    shakes = _shakes(rng, count, camera)
    for number in range(count):
        yield _frame(rng, cars, street, camera, shakes, number, size)


def write_drive(
    folder: Path,
    seed: int,
    index: int,
    size: tuple[int, int] = FRAME,
    count: int = FRAMES,
    faces: tuple = (RULES, DESIGNS),
) -> Path:
    """`drive` coded as film_INDEX.mp4 in `folder`, its truth beside it as film_INDEX.csv; the film's path."""
    import av

    path = folder / f"film_{index:04d}.mp4"
    quality = _camera(np.random.default_rng([seed, index, 32]), size).quality
    rows = []
    with replacing(path) as file, av.open(file, "w", format="mp4") as container:
        # on one thread, one seed gives one film
        stream = container.add_stream("libx264", rate=RATE, options={"crf": str(quality), "threads": "1"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for number, (picture, sights) in enumerate(drive(seed, index, size, count, faces)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            rows += [_row(number, sight) for sight in sights]
        container.mux(stream.encode())
    with replacing(path.with_suffix(".csv"), "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


def _row(number: int, sight: Sight) -> tuple:
    places = [f"{value:.2f}" for value in sight.corners.ravel()]
    return number, f"{number / RATE:.3f}", sight.car, *places, sight.text, sight.country


def render_films(folder: Path, count: int, seed: int = 0, workers: int = 1, variety: str = "benchmark") -> None:
    """Write `count` films, each with its truth. Raises ValueError if the folder holds anything already."""
    make_new(folder)
    films = in_order(partial(_write_drive, folder, seed, variety), range(count), workers)
    for _ in tqdm(films, total=count, unit="film", desc="rendering"):
        pass


def _write_drive(folder: Path, seed: int, variety: str, index: int) -> None:
    cv2.setNumThreads(1)
    write_drive(folder, seed, index, faces=VARIETIES[variety])


# --- What is drawn once -----------------------------------------------------------------------------------------------


def _camera(rng: np.random.Generator, size: tuple[int, int]) -> Camera:
    dark = rng.random() < 0.3
    return Camera(
        shake=rng.uniform(0.001, 0.006) * size[1],
        tilt=rng.uniform(0.001, 0.008),
        exposure=rng.uniform(0.4, 0.9) if dark else rng.uniform(0.05, 0.4),
        brightness=rng.uniform(0.15, 0.5) if dark else rng.uniform(0.6, 1.1),
        noise=rng.uniform(0.01, 0.035) if dark else rng.uniform(0.003, 0.015),
        defocus=rng.uniform(0.3, 1.1) * size[1] / FRAME[1],
        quality=int(rng.integers(22, 33)),
    )


def _car(rng: np.random.Generator, size: tuple[int, int], aside: float, faces: tuple) -> Car:
    face = draw_face(rng, PX_PER_MM * 440, *faces)
    plate_mm = rectangle(*face.size_mm)
    shape = round((ABOVE_MM + BELOW_MM) * PX_PER_MM), round(2 * REACH_MM * PX_PER_MM)
    corners = plate_mm * PX_PER_MM + np.array([REACH_MM, ABOVE_MM]) * PX_PER_MM
    photo = photograph(rng, face, corners, shape)
    to_px = np.array([[PX_PER_MM, 0, REACH_MM * PX_PER_MM], [0, PX_PER_MM, ABOVE_MM * PX_PER_MM], [0, 0, 1]])
    opacity = _outline(rng, photo, to_px)
    focal = FOCAL_SHARE * size[1]
    far, near = (focal * face.size_mm[0] / (rng.uniform(*share) * size[1]) for share in (FAR_SHARE, NEAR_SHARE))
    turn = rng.normal(0, 0.12)
    return Car(
        cut_outs=_halved(to_float(np.dstack([photo, opacity]))),
        plate_mm=plate_mm,
        text=face.text,
        country=face.country,
        far=far,
        near=near,
        aside=aside * rng.uniform(0.8, 1.1),
        # the camera looks from above the plate
        height=rng.uniform(300, 900),
        yaw=(turn, turn - np.sign(aside) * rng.uniform(0, 0.35)),
        leaves=rng.random() < 0.4,
    )


def _halved(cut_out: np.ndarray) -> tuple[np.ndarray, ...]:
    sizes = [cut_out]
    while min(sizes[-1].shape[:2]) > 64:
        sizes.append(cv2.resize(sizes[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return tuple(sizes)


def _outline(rng: np.random.Generator, photo: np.ndarray, to_px: np.ndarray) -> np.ndarray:
    """(H, W) uint8 opacity: body, cabin, wheels; paints a windscreen and the wheels into the photo."""
    pen, mask = Pen(photo, to_px), Pen(np.zeros_like(photo), to_px)
    half, belt, roof, sill = rng.uniform(800, 900), rng.uniform(-520, -420), rng.uniform(-1050, -900), 250
    right = np.array([[half * 0.95, belt], [half, belt + 120], [half, sill - 60], [half * 0.93, sill]])
    cabin = np.array([[half * 0.95, belt + 60], [half * 0.72, roof + 50], [half * 0.62, roof]])
    body, cabin = (smooth(np.vstack([each, each[::-1] * [-1, 1]])) for each in (right, cabin))
    middle = np.array([0, (belt + roof) / 2])
    pen.fill((cabin - middle) * [0.9, 0.78] + middle, np.full(3, rng.uniform(15, 90)))
    for side in (-1, 1):
        wheel = np.array([[0.68, sill - 100], [0.94, sill - 100], [0.94, BELOW_MM], [0.68, BELOW_MM]]) * [
            half * side,
            1,
        ]
        pen.fill(wheel, (20, 20, 22))
        mask.fill(wheel, (255,) * 3)
    mask.fill(body, (255,) * 3)
    mask.fill(cabin, (255,) * 3)
    return mask.photo[..., 0]


def _street(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) float32: sky, houses with windows, a road with its line."""
    height, width = size
    picture = np.empty((height, width, 3), np.float32)
    horizon = int(height * rng.uniform(0.35, 0.45))
    picture[:] = np.linspace([0.55, 0.68, 0.85], [0.85, 0.88, 0.9], height)[:, None]
    left = 0
    while left < width:
        broad, top = int(rng.uniform(0.08, 0.25) * width), int(horizon * rng.uniform(0.05, 0.8))
        wall = rng.uniform(0.2, 0.75, 3) * 0.4 + rng.uniform(0.1, 0.5)
        picture[top:, left : left + broad] = wall
        pane = max(3, width // int(rng.integers(35, 90)))
        for y in range(top + pane // 2, horizon, 2 * pane):
            for x in range(left + pane // 2, left + broad - pane // 2, 2 * pane):
                picture[y : y + pane, x : x + pane // 2 + 1] = rng.uniform(0.05, 0.5)
        left += broad
    road = rng.uniform(0.25, 0.5) + 0.12 * (clouds(rng, (height - horizon, width), width // 6) - 0.5)
    picture[horizon:] = road[..., None] * np.float32([1.0, 1.0, 0.97])
    for near, far in ((0.5, 0.5), (-0.4, 0.42), (1.4, 0.58)):
        line = np.array(
            [[near - 0.012, 1], [near + 0.012, 1], [far + 0.001, horizon / height], [far, horizon / height]]
        )
        cv2.fillPoly(picture, [(line * (width, height)).astype(np.int32)], (0.8, 0.8, 0.78), cv2.LINE_AA)
    return picture


def _shakes(rng: np.random.Generator, count: int, camera: Camera) -> np.ndarray:
    """(count + 1, 3): shift right, down in px and turn in radians of the camera at the beginning of every frame."""
    times = np.arange(count + 1)[:, None] / RATE
    swings = sum(
        rng.normal(0, 1, 3) * np.sin(2 * np.pi * rng.uniform(0.5, 6) * times + rng.uniform(0, 2 * np.pi, 3))
        for _ in range(4)
    )
    jolts = rng.normal(0, 0.3, (count + 1, 3))
    return (swings + jolts) / 2 * [camera.shake, camera.shake, camera.tilt]


# --- Every frame ------------------------------------------------------------------------------------------------------


def _frame(rng, cars, street, camera: Camera, shakes, number: int, size) -> tuple[np.ndarray, list[Sight]]:
    picture = np.zeros((*size, 3), np.float32)
    count = len(shakes) - 1
    # the truth is the middle of the exposure
    moments = number + camera.exposure * (np.arange(MOMENTS) - (MOMENTS - 1) / 2) / MOMENTS
    for moment in moments:
        shot = _background(street, _shake_at(shakes, moment), size)
        for car in _far_to_near(cars, moment, count):
            _put(shot, car.cut_outs, _to_frame(car, moment, shakes, size))
        picture += shot
    picture *= camera.brightness / MOMENTS
    picture = cv2.GaussianBlur(picture, (0, 0), camera.defocus)
    # more light, more noise
    picture += camera.noise * rng.standard_normal(picture.shape, np.float32) * np.sqrt(0.3 + picture)
    return to_uint8(picture), _sights(cars, number, shakes, size)


def _shake_at(shakes: np.ndarray, moment: float) -> np.ndarray:
    moment = np.clip(moment, 0, len(shakes) - 1)
    return np.array([np.interp(moment, np.arange(len(shakes)), column) for column in shakes.T])


def _background(street: np.ndarray, shake: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    back = (street.shape[1] - size[1]) / 2 - shake[0], (street.shape[0] - size[0]) / 2 - shake[1]
    matrix = np.float32([[1, 0, -back[0]], [0, 1, -back[1]]])
    return cv2.warpAffine(street, matrix, size[::-1], borderMode=cv2.BORDER_REFLECT_101)


def _progress(car: Car, moment: float, count: int) -> float:
    """0 at the far end of the way, 1 at the near one."""
    share = float(np.clip(moment / max(1, count - 1), 0, 1))
    return 1 - share if car.leaves else share


def _distance(car: Car, moment: float, count: int) -> float:
    return car.far + (car.near - car.far) * _progress(car, moment, count)


def _far_to_near(cars: list[Car], moment: float, count: int) -> list[Car]:
    return sorted(cars, key=lambda car: -_distance(car, moment, count))


def _to_frame(car: Car, moment: float, shakes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(3, 3): from mm around the plate to px of the frame."""
    count = len(shakes) - 1
    progress, z = _progress(car, moment, count), _distance(car, moment, count)
    yaw = car.yaw[0] + (car.yaw[1] - car.yaw[0]) * progress
    right, down, turn = _shake_at(shakes, moment)
    focal = FOCAL_SHARE * size[1]
    # first two columns of the car's rotation, and where it stands
    pose = np.array([[np.cos(yaw), 0, car.aside], [0, 1, car.height], [np.sin(yaw), 0, z]])
    lens = np.array([[focal, 0, size[1] / 2], [0, focal, size[0] * 0.45], [0, 0, 1]])
    middle = np.array([[1, 0, size[1] / 2 + right], [0, 1, size[0] / 2 + down], [0, 0, 1]])
    tilt = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    back = np.array([[1, 0, -size[1] / 2], [0, 1, -size[0] / 2], [0, 0, 1]])
    return middle @ tilt @ back @ lens @ pose


def _put(shot: np.ndarray, cut_outs: tuple[np.ndarray, ...], to_frame: np.ndarray) -> None:
    """Lay the car over the picture, from the smallest cut-out that is larger than the car appears."""
    rim_mm = np.float64([[-REACH_MM, -ABOVE_MM], [REACH_MM, -ABOVE_MM], [REACH_MM, BELOW_MM], [-REACH_MM, BELOW_MM]])
    rim = cv2.perspectiveTransform(rim_mm[None], to_frame)[0]
    low = np.maximum(np.floor(rim.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(rim.max(axis=0)).astype(int) + 1, shot.shape[1::-1])
    if (high <= low).any():
        return
    cut_out = [each for each in cut_outs if each.shape[1] >= 0.9 * np.ptp(rim[:, 0])][-1:] or cut_outs[:1]
    height, width = cut_out[0].shape[:2]
    source = np.float32([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    matrix = cv2.getPerspectiveTransform(source, (rim - low - 0.5).astype(np.float32))
    layer = cv2.warpPerspective(cut_out[0], matrix, (high - low).tolist(), flags=cv2.INTER_LINEAR)
    room = shot[low[1] : high[1], low[0] : high[0]]
    room += layer[..., -1:] * (layer[..., : shot.shape[2]] - room)


def _sights(cars: list[Car], number: int, shakes: np.ndarray, size: tuple[int, int]) -> list[Sight]:
    """From the nearest car to the farthest, whose plate may be hidden behind the others."""
    seen, covered = [], np.zeros((*size, 1), np.float32)
    for car in reversed(_far_to_near(cars, number, len(shakes) - 1)):
        to_frame = _to_frame(car, number, shakes, size)
        corners = cv2.perspectiveTransform(car.plate_mm[None], to_frame)[0]
        # the pixels that hold the corners
        columns, rows = np.floor(corners - 1e-6).astype(int).T
        inside = (corners >= 0).all() and (corners <= size[::-1]).all()
        if inside and covered[rows, columns].max() < 0.5:
            seen.append(Sight(cars.index(car), corners, car.text, car.country))
        opaque = tuple(np.dstack([np.ones_like(each[..., 3]), each[..., 3]]) for each in car.cut_outs)
        _put(covered, opaque, to_frame)
    return sorted(seen, key=lambda sight: sight.car)
