"""The network that finds licence plates, and how it is applied to a picture.

The network is fully convolutional and knows one range of sizes, plates 18 to 150 px wide. So a picture is searched in
several sizes. Each candidate is then straightened, brought to one size and looked at again, which confirms the score.
A sure plate is looked at in several sizes and places more, and the median of its corners counts. Pictures are (H, W, 3)
uint8 or float32 in [0, 1], RGB; corners are (x, y) px in CCPD's order.

`find_plates` is the one rule of files, films and the page for where the plates are, or that a picture is taken whole.
A tight crop must never come out worse than taken whole. So a crop is taken as it is where the detector is unsure, and
where the plate already lies in it nearly as in a tile: straightening could change little, and add the corners' errors.
A wide picture may be a street as well, so it is a crop only if at least an unsure plate fills much of its width.
Otherwise a picture without a plate is said to hold none.

In most frames of a film only places are searched at which plates are expected.

Per cell of STRIDE px the network gives CHANNELS numbers: the logit of a plate's middle lying here, its four corners in
units of UNIT px from the cell's middle, the logits of two lines and of lying upside down.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Semaphore
from typing import NamedTuple

import cv2
import numpy as np

from data.io import to_float, to_uint8
from data.straighten import homography, plate_aspect, plate_width, rectangle, warp, with_lean
from models.shipped import PRETRAINED

SHIPPED = PRETRAINED / "detector.onnx"

STRIDE, UNIT, DEEPEST, CHANNELS = 8, 16, 32, 11
# where they stand among the CHANNELS
HEAT, CORNERS, FLAGS = 0, slice(1, 9), slice(9, 11)
# filters at strides 2, 4, 8, 16, 32
WIDTHS = (16, 32, 48, 80, 112)
# of two plates that overlap: share of the smaller one's area
MOST_SHARED = 0.4
# longer side of the picture in each look: plates from 1.5, 5 and 13 % of it up
LOOKS_PX = (1280, 360, 140)
# the rim around a picture in a look, and its grey, as in training
RIM_PX, OUTSIDE = 16, 128
# least score at the first look, and how many are looked at a second time
CANDIDATE, CANDIDATES = 0.15, 10
# height and width of a window of the second look; width of the plate in it, and its height at most
WINDOW, WINDOW_PLATE = (128, 224), (112, 84)
# width of a plate in a window around the place where it is expected: it may have moved by its own width
NEAR_PLATE = 48
# width of the plate in the last looks, and by how much they are shifted: half a cell of the network
LAST_LOOKS = ((80, 0, 0), (96, 4, 4), (112, 0, 0), (112, 4, 4), (128, 0, 4), (144, 4, 0))
# width of a plate in the picture above which it is halved for these looks, once instead of shrunk for each
LARGE_PLATE = 800
# The network draws the proportions of plates of one line towards those that training showed most: it finds 2.6 where
# 2.0 is true, 3.4 where 3.1 is true, and long ones as they are. So plates become higher by (RIGHT / aspect) ^ POWER.
# Fitted on rendered, American and Romanian plates; see docs/EXPERIMENTS.md.
RIGHT_ASPECT, ASPECT_POWER, MOST_TALLER = 4.0, 0.42, 1.25
# least score of a plate
SCORE = 0.7
# of one that is expected where it is: in films a plate's score comes and goes around the least one
EXPECTED_SCORE = 0.5
# least score of a two-line plate: training shows seven times as many of these as roads do, and wheels, badges and rings
# look like them
SCORE_OF_TWO_LINES, SURELY_TWO_LINES = 0.78, 0.9

# width over height, and px of the longer side, of a picture that may be a crop of one plate
CROP_ASPECT, CROP_PX = (1.6, 8.0), 420
# so small a picture is a crop whatever its shape: no street is left in it
TINY_PX = 144
# so long a picture is a crop at larger sizes, too
LONG_ASPECT, LONG_PX = 2.5, 1400
# a candidate of this score may be no plate, but suggests a crop if it fills this share of the picture's width
HINT, HINT_SHARE = 0.25, 0.5
# height over width of a picture from which a hint makes it no crop: no plate is so high, but pages and screens are
HINT_HIGHEST = 1.2
# of a plate in a crop that needs no straightening: share of the picture's width and height at most; degrees by which
# its upper edge is tilted and its sides lean
FRAMED_WIDTH, FRAMED_HEIGHT, FRAMED_TILT, FRAMED_LEAN = 0.92, 0.8, 3.0, 5.0

# at a time, of one network: each takes 120 MB of what ONNX Runtime may have, and there may be a hundred cores
SEARCHES = 8
# chance of lying upside down: below, it does not, above, it does and is turned; between, nobody can tell
TURNED = 0.3, 0.9


def build_detector(widths: tuple[int, ...] = WIDTHS):
    """(N, H, W, 3) in [0, 1], sides divisible by DEEPEST -> (N, H / 8, W / 8, CHANNELS). A small residual network whose
    coarse levels, which see the surroundings, are added to the fine one."""
    import keras
    from keras import layers

    def conv(x, filters: int, kernel: int = 3, strides: int = 1, relu: bool = True, scale: float = 1.0):
        x = layers.Conv2D(filters, kernel, strides, "same", use_bias=False, kernel_initializer="he_normal")(x)
        x = layers.BatchNormalization(
            momentum=0.98, epsilon=1e-3, gamma_initializer=keras.initializers.Constant(scale)
        )(x)
        return layers.ReLU()(x) if relu else x

    def residual(x):
        filters = x.shape[-1]
        return layers.ReLU()(layers.Add()([x, conv(conv(x, filters), filters, relu=False, scale=0.3)]))

    def grown(x):
        return layers.UpSampling2D(2, interpolation="nearest")(x)

    picture = keras.Input((None, None, 3), name="picture")
    x = layers.Rescaling(2.0, -1.0)(picture)
    x = conv(x, widths[0], strides=2)
    x = conv(x, widths[1], strides=2)
    fine = residual(conv(x, widths[2], strides=2))
    middle = residual(residual(conv(fine, widths[3], strides=2)))
    coarse = residual(residual(conv(middle, widths[4], strides=2)))
    down = layers.Add()([conv(middle, widths[3], 1, relu=False), grown(conv(coarse, widths[3], 1, relu=False))])
    down = conv(layers.ReLU()(down), widths[3])
    x = layers.Add()([conv(fine, widths[2], 1, relu=False), grown(conv(down, widths[2], 1, relu=False))])
    x = conv(conv(layers.ReLU()(x), widths[2]), widths[3])
    # starts at "no plate anywhere", or the first steps would only teach that
    bias = keras.initializers.Constant([-4.0] + [0.0] * (CHANNELS - 1))
    small = keras.initializers.RandomNormal(stddev=0.01)
    maps = layers.Conv2D(CHANNELS, 1, kernel_initializer=small, bias_initializer=bias, dtype="float32", name="maps")(x)
    return keras.Model(picture, maps, name="detector")


@dataclass(frozen=True)
class Detection:
    """A plate found. corners: (4, 2) float64 px, any may lie outside the picture. score, two_lines, turned_over:
    probabilities in [0, 1]."""

    corners: np.ndarray
    score: float
    two_lines: float
    turned_over: float

    @property
    def is_sure(self) -> bool:
        return self.score >= (SCORE_OF_TWO_LINES if self.two_lines > SURELY_TWO_LINES else SCORE)


def decode(maps: np.ndarray, threshold: float) -> list[Detection]:
    """(H / 8, W / 8, CHANNELS) -> the plates in it above `threshold`, best first, overlapping ones dropped. A plate's
    corners are a mean over the cells around its peak, weighted by their heat."""
    heat = _sigmoid(maps[..., HEAT])
    rows, columns = np.nonzero((heat >= threshold) & (heat >= cv2.dilate(heat, np.ones((3, 3), np.uint8))))
    peaks = heat[rows, columns]
    corners, weights = np.zeros((len(peaks), 4, 2)), np.zeros((len(peaks), 1, 1))
    framed_heat, framed_maps = np.pad(heat, 1), np.pad(maps[..., CORNERS], ((1, 1), (1, 1), (0, 0)))
    for y, x in ((rows + down, columns + right) for down in (-1, 0, 1) for right in (-1, 0, 1)):
        around = framed_heat[y + 1, x + 1]
        weight = np.where(around > 0.6 * peaks, around, 0)[:, None, None]
        middle = (np.stack([x, y], -1)[:, None] + 0.5) * STRIDE
        corners += weight * (framed_maps[y + 1, x + 1].reshape(-1, 4, 2) * UNIT + middle)
        weights += weight
    flags = _sigmoid(maps[rows, columns, FLAGS])
    found = zip(corners / weights, peaks, flags, strict=True)
    return without_overlaps(
        [Detection(each, float(score), float(two), float(over)) for each, score, (two, over) in found]
    )


def without_overlaps(plates: list[Detection]) -> list[Detection]:
    """Best first; of two that share more than a part of the smaller one the better stays."""
    plates = sorted((plate for plate in plates if is_quadrangle(plate.corners)), key=lambda plate: -plate.score)
    if len(plates) < 2:
        return plates
    corners = np.stack([plate.corners for plate in plates])
    low, high = corners.min(axis=1), corners.max(axis=1)
    # most lie apart, and to compare boxes takes a tenth of the time
    touching = ((low[:, None] < high) & (low < high[:, None])).all(axis=-1)
    kept: list[int] = []
    for index in range(len(plates)):
        rivals = (other for other in kept if touching[index, other])
        if all(_shared(corners[index], corners[other]) < MOST_SHARED for other in rivals):
            kept.append(index)
    return [plates[index] for index in kept]


def is_quadrangle(corners: np.ndarray) -> bool:
    """Whether four corners go around in CCPD's order and enclose something."""
    points = np.asarray(corners, np.float32)
    ahead = points[[1, 2, 3, 0]] - points
    after = ahead[[1, 2, 3, 0]]
    turns = ahead[:, 0] * after[:, 1] - ahead[:, 1] * after[:, 0]
    return bool((turns > 0).all() and cv2.contourArea(points) > 4)


def quad_iou(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two convex quadrangles."""
    shared = _intersection(one, other)
    return shared / max(1e-9, _area(one) + _area(other) - shared)


def _shared(one: np.ndarray, other: np.ndarray) -> float:
    return _intersection(one, other) / max(1e-9, min(_area(one), _area(other)))


def _intersection(one: np.ndarray, other: np.ndarray) -> float:
    return float(cv2.intersectConvexConvex(np.float32(one), np.float32(other))[0])


def _area(points: np.ndarray) -> float:
    return float(cv2.contourArea(np.float32(points)))


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logit, -40, 40)))


@dataclass(frozen=True)
class Detector:
    """run: (N, H, W, 3) float32 in [0, 1], sides divisible by DEEPEST -> (N, H / 8, W / 8, CHANNELS)."""

    run: Callable[[np.ndarray], np.ndarray]

    def detect(
        self, picture: np.ndarray, hint: float = 1.0, near: Sequence[np.ndarray] | None = None
    ) -> list[Detection]:
        """The plates in a picture, best first: those that are sure, and from the score `hint` on what may be one: all
        that fill much of the picture's width are among them. near: corners (4, 2) of plates that are expected; only
        around them is looked then, which takes a fraction of the time, and less sure plates are taken for them."""
        picture = to_uint8(picture)
        least = SCORE if near is None else EXPECTED_SCORE
        hint = hint if near is None else EXPECTED_SCORE
        looked = self.first_looks(picture) if near is None else self.looks_near(picture, near)
        # the second look takes a score to its square root at most
        seen = [p for p in looked if p.score >= least**2 or (near is None and hint < 1 and is_wide(p, picture))]
        plates = [self.second_look(picture, candidate) for candidate in without_overlaps(seen)[:CANDIDATES]]
        plates = without_overlaps([plate for plate in plates if plate.is_sure or plate.score >= hint])
        return [self.last_looks(picture, plate) if plate.is_sure or near is not None else plate for plate in plates]

    def first_looks(self, picture: np.ndarray) -> list[Detection]:
        """Candidates from the whole picture in several sizes."""
        small = _halved(picture, 2 * LOOKS_PX[0])
        ratio = np.array(picture.shape[1::-1]) / small.shape[1::-1]
        longer = max(small.shape[:2])
        largest, middle, smallest = LOOKS_PX
        looks = {min(largest, max(longer, smallest)), smallest} | ({middle} if longer > 1.5 * middle else set())
        found = [plate for px in sorted(looks) for plate in self._look(small, px / longer)]
        return [replace(plate, corners=plate.corners * ratio) for plate in found]

    def looks_near(self, picture: np.ndarray, places: Sequence[np.ndarray]) -> list[Detection]:
        """Candidates from a window around each place, neither turned nor straightened."""
        matrices = []
        for corners in places:
            scale = NEAR_PLATE / max(1.0, plate_width(corners))
            right, down = np.array(WINDOW[::-1]) / 2 - scale * corners.mean(axis=0)
            matrices.append(np.array([[scale, 0, right], [0, scale, down], [0, 0, 1]]))
        return [plate for found, _ in self._through(picture, matrices, CANDIDATE) for plate in found]

    def _look(self, picture: np.ndarray, scale: float) -> list[Detection]:
        height, width = picture.shape[:2]
        small_h, small_w = max(1, round(height * scale)), max(1, round(width * scale))
        if scale != 1:
            filters = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            picture = cv2.resize(picture, (small_w, small_h), interpolation=filters)
        padded = [-(-(side + 2 * RIM_PX) // DEEPEST) * DEEPEST for side in (small_h, small_w)]
        canvas = np.full((*padded, 3), OUTSIDE, np.uint8)
        canvas[RIM_PX : RIM_PX + small_h, RIM_PX : RIM_PX + small_w] = picture
        ratio = np.array([width / small_w, height / small_h])
        found = decode(self.run(to_float(canvas)[None])[0], CANDIDATE)
        return [replace(plate, corners=(plate.corners - RIM_PX) * ratio) for plate in found]

    def second_look(self, picture: np.ndarray, candidate: Detection) -> Detection:
        """The candidate straightened and brought to one size: exact corners; its score is the mean of both looks'
        (geometric), 0 where the second sees no plate there."""
        (best,) = self._seen_again(picture, candidate, ((WINDOW_PLATE[0], 0, 0),)) or (None,)
        if best is None:
            return replace(candidate, score=0.0)
        return replace(best, score=float(np.sqrt(best.score * candidate.score)))

    def last_looks(self, picture: np.ndarray, plate: Detection) -> Detection:
        """The plate with the median of the corners that LAST_LOOKS give. One of one line leans as its characters do
        first, and is as tall as such plates are."""
        one_line = plate.two_lines <= SURELY_TWO_LINES
        plate = replace(plate, corners=with_lean(picture, plate.corners)) if one_line else plate
        seen = self._seen_again(picture, plate, LAST_LOOKS)
        median = np.median([each.corners for each in seen], axis=0) if seen else plate.corners
        corners = median if is_quadrangle(median) else plate.corners
        return replace(plate, corners=as_tall_as_true(corners) if one_line else corners)

    def _seen_again(
        self, picture: np.ndarray, plate: Detection, looks: tuple[tuple[int, int, int], ...]
    ) -> list[Detection]:
        """The plate as found in windows of the straightened picture, one for each of `looks` (width of the plate in it,
        shift to the right and down in px). Windows in which it is not found are left out."""
        small = _halved(picture, max(picture.shape[:2]) * LARGE_PLATE / max(1.0, plate_width(plate.corners)))
        ratio = np.array(picture.shape[1::-1]) / small.shape[1::-1]
        places = [in_window(plate.corners, width) + shift for width, *shift in looks]
        matrices = [homography(plate.corners / ratio, place) for place in places]
        seen = []
        for (found, windowed), place in zip(self._through(small, matrices, 0.05), places, strict=True):
            same = (each for each, inside in zip(found, windowed, strict=True) if quad_iou(inside, place) > 0.3)
            if best := next(same, None):
                seen.append(replace(best, corners=best.corners * ratio))
        return seen

    def _through(self, picture: np.ndarray, matrices: Sequence[np.ndarray], threshold: float):
        """Of windows of the picture, one seen through each matrix: (the plates in it, best first, with corners in the
        picture; their corners in the window)."""
        if not matrices:
            return []
        windows = [warp(picture, matrix, WINDOW, cv2.BORDER_CONSTANT, OUTSIDE) for matrix in matrices]
        looked = []
        for maps, matrix in zip(self.run(to_float(np.stack(windows))), matrices, strict=True):
            found = decode(maps, threshold)
            back = np.linalg.inv(matrix)
            plates = [replace(each, corners=cv2.perspectiveTransform(each.corners[None], back)[0]) for each in found]
            looked.append((plates, [each.corners for each in found]))
        return looked


def _halved(picture: np.ndarray, longest: float) -> np.ndarray:
    """The picture, its sides halved until none is longer. To average two by two pixels takes a seventh of the time of
    other shares: a photo of 24 megapixels would take longer to shrink than to search."""
    while max(picture.shape[:2]) > longest:
        height, width = (max(1, side // 2) for side in picture.shape[:2])
        picture = cv2.resize(picture[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    return picture


def as_tall_as_true(corners: np.ndarray) -> np.ndarray:
    """(4, 2) -> the corners of the same plate with its true height, where the network finds it too low."""
    taller = np.clip((RIGHT_ASPECT / plate_aspect(corners)) ** ASPECT_POWER, 1, MOST_TALLER)
    bottom_right, bottom_left, top_left, top_right = corners
    right, left = (taller - 1) / 2 * (bottom_right - top_right), (taller - 1) / 2 * (bottom_left - top_left)
    return np.array([bottom_right + right, bottom_left + left, top_left - left, top_right - right])


def in_window(corners: np.ndarray, width: float) -> np.ndarray:
    """(4, 2): where the corners lie in a window in which the plate is `width` px wide, or less for a tall one."""
    aspect = plate_aspect(corners)
    width = min(width, WINDOW_PLATE[1] * aspect)
    return rectangle(width, width / aspect, (WINDOW[1] / 2, WINDOW[0] / 2))


# --- Where the plates are, or that a picture is taken whole -----------------------------------------------------------


class Located(NamedTuple):
    """plates: the sure ones, best first. whole: the picture is taken whole, as a crop of one plate. Neither: no
    plate."""

    plates: tuple[Detection, ...]
    whole: bool = False


def find_plates(picture: np.ndarray, detector: Detector) -> Located:
    """picture: (H, W, 3), uint8 or float32 in [0, 1]. Corners go by how a plate is read: one upside down is turned."""
    found = [upright(plate) for plate in detector.detect(picture, HINT)]
    sure = [plate for plate in found if plate.is_sure]
    height, width = picture.shape[:2]
    hinted = height <= HINT_HIGHEST * width and any(is_wide(plate, picture) for plate in found)
    crop = is_small_crop(picture) or hinted
    if sure:
        return Located(tuple(sure), crop and has_crop_shape(picture) and is_framed(sure[0], picture))
    return Located((), crop)


def is_wide(plate: Detection, picture: np.ndarray) -> bool:
    """Whether the plate fills much of the picture's width."""
    return bool(np.ptp(plate.corners[:, 0]) > HINT_SHARE * picture.shape[1])


def surest_corners(picture: np.ndarray) -> np.ndarray | None:
    """The corners of the surest plate by the shipped detector, on one thread; None where there is no sure one."""
    plates = find_plates(picture, load_detector(threads=1)).plates
    return plates[0].corners if plates else None


def has_crop_shape(picture: np.ndarray) -> bool:
    """Whether the picture could be a crop of one plate, by its size and proportions alone."""
    height, width = picture.shape[:2]
    aspect = width / height
    if max(height, width) <= TINY_PX:
        return True
    if not CROP_ASPECT[0] <= aspect <= CROP_ASPECT[1]:
        return False
    return width <= (LONG_PX if aspect >= LONG_ASPECT else CROP_PX)


def is_small_crop(picture: np.ndarray) -> bool:
    """Whether hardly anything else has this shape and size."""
    return has_crop_shape(picture) and picture.shape[1] <= CROP_PX


def is_framed(plate: Detection, picture: np.ndarray) -> bool:
    """Whether a plate of one line lies in the picture nearly as in a tile: upright, with room around it."""
    if plate.two_lines > SURELY_TWO_LINES:
        return False
    height, width = picture.shape[:2]
    wide, high = np.ptp(plate.corners, axis=0)
    bottom_right, bottom_left, top_left, top_right = plate.corners
    right, down = top_right - top_left
    level = right > 0 and abs(np.degrees(np.arctan2(down, right))) <= FRAMED_TILT
    aside, below = bottom_left + bottom_right - top_left - top_right
    level = level and abs(np.degrees(np.arctan2(aside, below))) <= FRAMED_LEAN
    return bool(level and wide <= FRAMED_WIDTH * width and high <= FRAMED_HEIGHT * height)


def upright(plate: Detection) -> Detection:
    """The plate with its corners as it is read, where it surely lies upside down in the picture."""
    if plate.turned_over <= TURNED[1]:
        return plate
    return replace(plate, corners=np.roll(plate.corners, 2, axis=0))


# --- The shipped network ----------------------------------------------------------------------------------------------


def detect(picture: np.ndarray) -> list[Detection]:
    """The plates in a picture by the shipped network, best first."""
    return load_detector().detect(picture)


@lru_cache(maxsize=2)
def load_detector(path: Path = SHIPPED, threads: int = 0) -> Detector:
    """From an `.onnx` file through ONNX Runtime, or from a `.keras` archive through Keras. threads: of the
    CPU, for ONNX Runtime; 0 for all. Raises ValueError."""
    from models.loading import load_archive, open_plain

    if not path.is_file():
        raise ValueError(f"detector {path}: no such file")
    if path.suffix == ".onnx":
        run, turns = open_plain(path, threads), Semaphore(SEARCHES)

        def in_turn(batch: np.ndarray) -> np.ndarray:
            with turns:
                return run(batch)

        return Detector(in_turn)
    model = load_archive(path)
    return Detector(lambda batch: np.asarray(model(batch, training=False), np.float32))
