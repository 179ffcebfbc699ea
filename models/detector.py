"""The network that finds licence plates, and how a picture is looked at with it.

The network is fully convolutional and knows one range of sizes, plates 18 to 170 px wide. So a picture is looked at in several
sizes, and what is found there once more, straightened and brought to one size: that makes the corners exact and confirms the
score. Pictures are (H, W, 3) uint8 or float32 in [0, 1], RGB; corners are (x, y) px in CCPD's order.

Per cell of STRIDE px the network gives CHANNELS numbers: the logit of a plate's middle lying here, its four corners in units of
UNIT px from the cell's middle, the logits of two lines and of lying upside down.
"""

from dataclasses import dataclass

import cv2
import numpy as np

STRIDE, UNIT, DEEPEST = 8, 16, 32
CHANNELS = 11
MOST_SHARED = 0.4  # of the smaller one of two plates
WIDTHS = (16, 32, 48, 80, 112)  # filters at strides 2, 4, 8, 16, 32


def build_detector(widths: tuple[int, ...] = WIDTHS):
    """(N, H, W, 3) in [0, 1], sides divisible by DEEPEST -> (N, H / 8, W / 8, CHANNELS). A small residual network whose coarse
    levels, which see the surroundings, are added to the fine one."""
    import keras
    from keras import layers

    def conv(x, filters: int, kernel: int = 3, strides: int = 1, relu: bool = True, scale: float = 1.0):
        x = layers.Conv2D(filters, kernel, strides, "same", use_bias=False, kernel_initializer="he_normal")(x)
        x = layers.BatchNormalization(momentum=0.98, epsilon=1e-3, gamma_initializer=keras.initializers.Constant(scale))(x)
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
    # at first nothing is a plate anywhere: else the first steps would do nothing but teach that
    bias = keras.initializers.Constant([-4.0] + [0.0] * (CHANNELS - 1))
    small = keras.initializers.RandomNormal(stddev=0.01)
    maps = layers.Conv2D(CHANNELS, 1, kernel_initializer=small, bias_initializer=bias, dtype="float32", name="maps")(x)
    return keras.Model(picture, maps, name="detector")


@dataclass(frozen=True)
class Plate:
    """corners: (4, 2) float64 px, any may lie outside the picture. score, two_lines, turned_over: probabilities in [0, 1]."""

    corners: np.ndarray
    score: float
    two_lines: float
    turned_over: float


def decode(maps: np.ndarray, threshold: float) -> list[Plate]:
    """(H / 8, W / 8, CHANNELS) -> the plates in it above `threshold`, best first, overlapping ones dropped."""
    heat = _sigmoid(maps[..., 0])
    peaks = (heat >= threshold) & (heat >= cv2.dilate(heat, np.ones((3, 3), np.uint8)))
    plates = [_plate_at(maps, heat, y, x) for y, x in zip(*np.nonzero(peaks), strict=True)]
    return without_overlaps(plates)


def _plate_at(maps: np.ndarray, heat: np.ndarray, y: int, x: int) -> Plate:
    """The plate at a peak; the cells around it have a say, too, by their heat."""
    rows, columns = slice(max(0, y - 1), y + 2), slice(max(0, x - 1), x + 2)
    weight = np.where(heat[rows, columns] > 0.6 * heat[y, x], heat[rows, columns], 0)
    ys, xs = np.mgrid[: heat.shape[0], : heat.shape[1]][:, rows, columns]
    middles = (np.stack([xs, ys], -1) + 0.5)[:, :, None] * STRIDE
    corners = maps[rows, columns, 1:9].reshape(*weight.shape, 4, 2) * UNIT + middles
    mean = np.tensordot(weight / weight.sum(), corners, 2)
    two_lines, over = (float(_sigmoid(maps[y, x, channel])) for channel in (9, 10))
    return Plate(mean.astype(np.float64), float(heat[y, x]), two_lines, over)


def without_overlaps(plates: list[Plate]) -> list[Plate]:
    """Best first; of two that share more than a part of the smaller one the better stays."""
    kept: list[Plate] = []
    for plate in sorted(plates, key=lambda plate: -plate.score):
        if is_quadrangle(plate.corners) and all(_shared(plate.corners, other.corners) < MOST_SHARED for other in kept):
            kept.append(plate)
    return kept


def is_quadrangle(corners: np.ndarray) -> bool:
    """Whether four corners go around in CCPD's order and enclose something."""
    points = np.asarray(corners, np.float32)
    ahead = np.roll(points, -1, 0) - points
    after = np.roll(ahead, -1, 0)
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
