"""Blur kernels: defocus discs, Gaussians, straight motion and curved camera-shake paths.

Every kernel is a square float32 array of odd size that sums to 1 and has its centre of mass in the middle, so that
blurring moves nothing and the blurred tile stays aligned with the clean one. Lengths are in pixels, angles in degrees.
"""

import cv2
import numpy as np

DISC_OVERSAMPLING = 8
PATH_NODES = 64
PATH_POINTS_PER_PX = 3


def disc_kernel(radius: float) -> np.ndarray:
    """Kernel of a lens out of focus: an evenly lit disc of `radius` px with an antialiased edge."""
    half = int(np.ceil(radius + 0.5))
    size = 2 * half + 1
    count = size * DISC_OVERSAMPLING
    # From whole numbers: with rounding errors, points on the very edge would fall in on one side and out on the other.
    offsets = (2 * np.arange(count) + 1 - count) / (2 * DISC_OVERSAMPLING)
    inside = (offsets[:, None] ** 2 + offsets[None, :] ** 2 <= radius**2).astype(np.float32)
    kernel = inside.reshape(size, DISC_OVERSAMPLING, size, DISC_OVERSAMPLING).mean(axis=(1, 3))
    # a radius below the sampling: no blur at all
    if kernel.sum() == 0:
        kernel[half, half] = 1
    return kernel / kernel.sum()


def line_kernel(length: float, angle: float) -> np.ndarray:
    """Kernel of straight, even motion over `length` px."""
    along = np.linspace(-length / 2, length / 2, _point_count(length))
    radians = np.deg2rad(angle)
    return _splat(np.stack([along * np.cos(radians), along * np.sin(radians)], axis=1))


def path_kernel(length: float, angle: float, curl: float, seed: int) -> np.ndarray:
    """Kernel of a camera shaken during the exposure: a curved path run through at an uneven speed.

    length: distance between the path's two farthest points. angle: its first heading. curl: 0 is straight, 1 turns
    about itself. The path's shape comes from `seed`; where the hand dwells, double images appear.
    """
    rng = np.random.default_rng(seed)
    turns = _smooth_noise(rng, PATH_NODES)
    speed = np.exp(0.5 * _smooth_noise(rng, PATH_NODES))
    heading = np.deg2rad(angle) + curl * 1.6 * (turns - turns[0])
    nodes = np.cumsum(np.stack([speed * np.cos(heading), speed * np.sin(heading)], axis=1), axis=0)
    extent = np.sqrt(((nodes[:, None] - nodes[None]) ** 2).sum(axis=2).max())
    times = np.linspace(0, PATH_NODES - 1, 2 * _point_count(length))
    path = np.stack([np.interp(times, np.arange(PATH_NODES), nodes[:, axis]) for axis in (0, 1)], axis=1)
    return _splat(path * (length / extent))


def filter_picture(picture: np.ndarray, kernel: np.ndarray, linear: bool) -> np.ndarray:
    """Blur `picture` (H, W, 3) with reflected borders, in linear light if asked.

    Linear light is taken as the square of the stored value: sRGB's curve is close to it, and a square costs a
    thirtieth of a power.
    """
    if not linear:
        return cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    blurred = cv2.filter2D(picture * picture, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    # The Fourier filter behind large kernels leaves rounding errors below zero.
    return np.sqrt(np.maximum(blurred, 0))


def _point_count(length: float) -> int:
    return max(3, int(np.ceil(length * PATH_POINTS_PER_PX)) + 1)


def _smooth_noise(rng: np.random.Generator, count: int) -> np.ndarray:
    """Smooth random curve of `count` values with mean 0 and standard deviation 1."""
    walk = np.convolve(rng.standard_normal(count + 24), np.hanning(25), mode="valid")
    return (walk - walk.mean()) / walk.std()


def _splat(points: np.ndarray) -> np.ndarray:
    """Kernel of points (N, 2) as x, y px of equal light, moved so that their mean lies in the middle."""
    points = points - points.mean(axis=0)
    half = int(np.ceil(np.abs(points).max())) + 1
    size = 2 * half + 1
    low = np.floor(points).astype(int)
    part = points - low
    kernel = np.zeros((size, size), np.float64)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
        np.add.at(kernel, (low[:, 1] + dy + half, low[:, 0] + dx + half), weight)
    return (kernel / len(points)).astype(np.float32)
