"""The stages of the degradation: one pure function each, from a picture and its parameters to the damaged picture.

Pictures are (H, W, 3) float32 RGB in [0, 1], in and out. Light is measured in photographic stops: one stop less is half
the light, which the display curve (taken as a square root) turns into 0.71 of the stored value. Angles are in degrees.
Lengths are in pixels of the picture as it stands, which a `down` before may have made small.
"""

import cv2
import numpy as np

from data import blur
from data.io import to_uint8

MIN_SIDE_PX = 8
DOWN_FILTERS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
UP_FILTERS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}


def clip(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture, 0, 1)


def defocus(picture: np.ndarray, radius: float, linear: bool = False) -> np.ndarray:
    """Lens out of focus: a disc of `radius` px."""
    return clip(blur.filter_picture(picture, blur.disc_kernel(radius), linear))


def gaussian(picture: np.ndarray, sigma: float, linear: bool = False) -> np.ndarray:
    """Softness of lens, sensor and processing: a Gaussian of `sigma` px."""
    light = picture * picture if linear else picture
    light = cv2.GaussianBlur(light, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    return clip(np.sqrt(light) if linear else light)


def motion(picture: np.ndarray, length: float, angle: float, linear: bool = False) -> np.ndarray:
    """The car drives by: straight motion over `length` px."""
    return clip(blur.filter_picture(picture, blur.line_kernel(length, angle), linear))


def shake(picture: np.ndarray, length: float, angle: float, curl: float, seed: int, linear: bool = False) -> np.ndarray:
    """The hand trembles: a curved path whose farthest points lie `length` px apart."""
    return clip(blur.filter_picture(picture, blur.path_kernel(length, angle, curl, seed), linear))


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
    """Fog, a dirty windscreen or stray light: mix `amount` of an even `colour` (RGB) into the light."""
    veil = amount * np.square(np.array(colour, np.float32))
    return np.sqrt(picture * picture * (1 - amount) + veil)


def cast(picture: np.ndarray, gains: list[float], saturation: float = 1) -> np.ndarray:
    """Wrong white balance: gains of R, G and B; and saturation, 0 for an infrared camera's grey."""
    grey = np.tile(np.array([0.299, 0.587, 0.114]) * (1 - saturation), (3, 1))
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
    """JPEG whose 8 px blocks begin (dx, dy) px outside the picture: a plate lies anywhere in its photo."""
    return _encode(picture, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality], dx, dy)


def video(picture: np.ndarray, quality: int, dx: int = 0, dy: int = 0) -> np.ndarray:
    """A video's key frame, smeared instead of blocky: WebP is one picture of the VP8 video format."""
    return _encode(picture, ".webp", [cv2.IMWRITE_WEBP_QUALITY, quality], dx, dy)


def _encode(picture: np.ndarray, form: str, flags: list[int], dx: int, dy: int) -> np.ndarray:
    height, width = picture.shape[:2]
    pixels = cv2.cvtColor(to_uint8(picture), cv2.COLOR_RGB2BGR)
    padded = cv2.copyMakeBorder(pixels, dy, 0, dx, 0, cv2.BORDER_REFLECT_101)
    _, stream = cv2.imencode(form, padded, flags)
    decoded = cv2.imdecode(stream, cv2.IMREAD_COLOR)[dy : dy + height, dx : dx + width]
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
