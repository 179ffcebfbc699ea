"""The operations of the degradation: each a pure function from a picture and its parameters to the degraded picture.

Pictures are (H, W, 3) float32 RGB in [0, 1], in and out. Illumination is measured in photographic stops: one stop less
is half the light, which the display curve (approximated by a square root) turns into 0.71 of the stored value. Angles
are in degrees. Lengths are in pixels of the picture as it stands, which an earlier `down` may have shrunk.

Blur kernels are square float32 arrays of odd size that sum to 1, with their centre of mass in the middle: blurring
moves nothing, and the blurred tile stays aligned with the clean one.
"""

import cv2
import numpy as np

from data.io import to_uint8
from data.quality import LUMA

MIN_SIDE_PX = 8
DOWN_FILTERS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
UP_FILTERS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}
DISC_OVERSAMPLING = 8
PATH_NODES = 64
PATH_POINTS_PER_PX = 3


def clip(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture, 0, 1)


def defocus(picture: np.ndarray, radius: float, linear: bool = False) -> np.ndarray:
    """Lens out of focus: a disc of `radius` px."""
    return clip(_filtered(picture, disc_kernel(radius), linear))


def gaussian(picture: np.ndarray, sigma: float, linear: bool = False) -> np.ndarray:
    """Softness of lens, sensor and processing: a Gaussian of `sigma` px."""
    light = picture * picture if linear else picture
    light = cv2.GaussianBlur(light, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    return clip(np.sqrt(light) if linear else light)


def motion(picture: np.ndarray, length: float, angle: float, linear: bool = False) -> np.ndarray:
    """The car drives by: straight motion over `length` px."""
    return clip(_filtered(picture, line_kernel(length, angle), linear))


def shake(picture: np.ndarray, length: float, angle: float, curl: float, seed: int, linear: bool = False) -> np.ndarray:
    """The hand trembles: a curved path whose farthest points lie `length` px apart."""
    return clip(_filtered(picture, path_kernel(length, angle, curl, seed), linear))


def down(picture: np.ndarray, factor: float, filter: str = "area") -> np.ndarray:
    """Few pixels: shrink by `factor`. The picture stays small until `resize_to` brings it back."""
    height, width = (max(MIN_SIDE_PX, round(side / factor)) for side in picture.shape[:2])
    return clip(cv2.resize(picture, (width, height), interpolation=DOWN_FILTERS[filter]))


def resize_to(picture: np.ndarray, size: tuple[int, int], filter: str = "cubic") -> np.ndarray:
    """Resize to `size` (height, width): up by `filter`, down by area. Pixel centres keep their places."""
    height, width = size
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = picture.shape[0] > height
    return clip(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else UP_FILTERS[filter]))


def exposure(picture: np.ndarray, stops: float) -> np.ndarray:
    """Too little light (stops below 0) or too much, which clips."""
    return clip(picture * 2 ** (stops / 2))


def glow(picture: np.ndarray, stops: float, sigma: float, share: float) -> np.ndarray:
    """Overexposure that bleeds: `share` of the light is scattered `sigma` px far before the sensor clips."""
    light = picture * picture * 2**stops
    return clip(np.sqrt(light * (1 - share) + share * _soft_blur(light, sigma)))


def gamma(picture: np.ndarray, power: float) -> np.ndarray:
    """A wrong tone curve: power above 1 darkens the middle, below 1 washes it out."""
    return np.power(picture, np.float32(power))


def contrast(picture: np.ndarray, factor: float, pivot: float = 0.5) -> np.ndarray:
    """Scale the distances from `pivot` by `factor`."""
    return clip(pivot + factor * (picture - pivot))


def haze(picture: np.ndarray, amount: float, colour: list[float]) -> np.ndarray:
    """Fog, a dirty windscreen or stray light: mix `amount` of an even `colour` (RGB) into the picture."""
    veil = amount * np.square(np.array(colour, np.float32))
    return np.sqrt(picture * picture * (1 - amount) + veil)


def cast(picture: np.ndarray, gains: list[float], saturation: float = 1) -> np.ndarray:
    """Wrong white balance: gains of R, G and B; and saturation, 0 for an infrared camera's grey."""
    grey = np.tile(np.array(LUMA) * (1 - saturation), (3, 1))
    matrix = np.diag(gains) @ (grey + saturation * np.eye(3))
    return clip(cv2.transform(picture, matrix.astype(np.float32)))


def gradient(picture: np.ndarray, stops: float, angle: float) -> np.ndarray:
    """Light that falls off evenly: `stops` between one edge of the picture and the other."""
    return clip(picture * np.exp2(stops / 4 * _ramp(picture, angle))[..., None])


def shadow(picture: np.ndarray, stops: float, angle: float, place: float, softness: float) -> np.ndarray:
    """A shadow's edge crosses the plate at `place` (-1..1 across it); beyond it there are `stops` less light."""
    shaded = 0.5 + 0.5 * np.tanh((_ramp(picture, angle) - place) / softness)
    return picture * np.exp2(-stops / 2 * shaded)[..., None]


def spot(picture: np.ndarray, amount: float, x: float, y: float, radius: float, colour: list[float]) -> np.ndarray:
    """Glare of a lamp at (x, y), in parts of width and height; radius in parts of the height."""
    height, width = picture.shape[:2]
    across = np.exp(-0.5 * ((np.arange(width, dtype=np.float32) - x * width) / (radius * height)) ** 2)
    along = np.exp(-0.5 * ((np.arange(height, dtype=np.float32) - y * height) / (radius * height)) ** 2)
    light = amount * (along[:, None] * across[None])
    return clip(picture + light[..., None] * np.array(colour, np.float32))


def noise(picture: np.ndarray, read: float, shot: float, seed: int, grey: bool = False, grain: float = 0) -> np.ndarray:
    """Sensor noise of standard deviation sqrt(read^2 + shot^2 * value), grey or coloured, in grains of `grain` px."""
    shape = picture.shape[:2] if grey else picture.shape
    field = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    if grain > 0:
        kernel = cv2.getGaussianKernel(2 * int(np.ceil(3 * grain)) + 1, grain)
        # variance stays 1
        field = cv2.sepFilter2D(field, -1, kernel, kernel) / np.float32((kernel**2).sum())
    if grey:
        field = field[..., None]
    return clip(picture + field * np.sqrt(read**2 + shot**2 * picture))


def smear(picture: np.ndarray, strength: float) -> np.ndarray:
    """Noise removal inside the camera: flat patches with kept edges, fine strokes lost."""
    return cv2.bilateralFilter(picture, 5, strength, 2.0, borderType=cv2.BORDER_REFLECT_101)


def sharpen(picture: np.ndarray, amount: float, sigma: float) -> np.ndarray:
    """Sharpening inside the camera: bright and dark halos along edges."""
    soft = cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    return clip(cv2.addWeighted(picture, 1 + amount, soft, -amount, 0))


def jpeg(picture: np.ndarray, quality: int, dx: int = 0, dy: int = 0) -> np.ndarray:
    """JPEG coding whose 8 px blocks begin (dx, dy) px outside the picture, since a plate lies anywhere in its photo."""
    return _encode(picture, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality], dx, dy)


def video(picture: np.ndarray, quality: int, dx: int = 0, dy: int = 0) -> np.ndarray:
    """Video coding, which smears where JPEG leaves blocks: a WebP file is a key frame of the VP8 video format."""
    return _encode(picture, ".webp", [cv2.IMWRITE_WEBP_QUALITY, quality], dx, dy)


def _encode(picture: np.ndarray, form: str, flags: list[int], dx: int, dy: int) -> np.ndarray:
    height, width = picture.shape[:2]
    pixels = cv2.cvtColor(to_uint8(picture), cv2.COLOR_RGB2BGR)
    padded = cv2.copyMakeBorder(pixels, dy, 0, dx, 0, cv2.BORDER_REFLECT_101)
    _, stream = cv2.imencode(form, padded, flags)
    decoded = cv2.imdecode(stream, cv2.IMREAD_COLOR)[dy : dy + height, dx : dx + width]
    # a product, not the quotient of `to_float`: the last bits of the frozen benchmark come from it
    return np.multiply(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.float32(1 / 255), dtype=np.float32)


def _ramp(picture: np.ndarray, angle: float) -> np.ndarray:
    """(H, W) ramp from -1 to 1 along `angle` across the picture."""
    height, width = picture.shape[:2]
    radians = np.deg2rad(angle)
    x = np.linspace(-1, 1, width, dtype=np.float32) * np.float32(np.cos(radians))
    y = np.linspace(-1, 1, height, dtype=np.float32) * np.float32(np.sin(radians))
    return y[:, None] + x[None]


def _soft_blur(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Wide Gaussian blur at a quarter of the size: a glow has no detail, and the full size would cost ten times
    more."""
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (max(2, width // 4), max(2, height // 4)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(0.3, sigma / 4), borderType=cv2.BORDER_REFLECT_101)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def disc_kernel(radius: float) -> np.ndarray:
    """Kernel of a lens out of focus: an evenly lit disc of `radius` px with an antialiased edge."""
    half = int(np.ceil(radius + 0.5))
    size = 2 * half + 1
    count = size * DISC_OVERSAMPLING
    # whole numbers: rounding errors would put points of the very edge inside on one side and outside on the other
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
    """Kernel of a camera shaken during the exposure: a curved path, followed at an uneven speed.

    length: distance between the path's two farthest points. angle: its first heading. curl: 0 is straight, 1 turns
    about itself. `seed` decides the path's shape. Double images appear where the hand dwells.
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


def _filtered(picture: np.ndarray, kernel: np.ndarray, linear: bool) -> np.ndarray:
    """Blur `picture` (H, W, 3) with reflected borders, in linear light if asked.

    Linear light is approximated by the square of the stored value: close to sRGB's curve, at a thirtieth of the cost
    of a power.
    """
    if not linear:
        return cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    blurred = cv2.filter2D(picture * picture, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    # OpenCV's Fourier filter, taken for large kernels, leaves rounding errors below zero
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
