"""Degrades clean tiles the way cameras do: `sample` draws a list of steps, `apply` carries it out.

    python -m data.degrade --image plate.png --out sheet.png

draws a sheet of every operation at growing strength, and of full samples. Pictures are (H, W, 3) float32 RGB in [0, 1].
A step is a dict with the name of its operation (under the key "stage", as manifests have it) and its parameters, all of
them JSON: the same picture and steps give the same tile again.

Operations are pure functions from a picture and parameters to the degraded picture. Illumination is measured in
photographic stops: one stop less is half the light, which the display curve (approximated by a square root) turns into
0.71 of the stored value. Angles are in degrees. Lengths are in pixels of the picture as it stands, which an earlier
`down` may have shrunk.

Blur kernels are square float32 arrays of odd size that sum to 1, with their centre of mass in the middle: blurring
moves nothing, and the blurred tile stays aligned with the clean one.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from data.console import say
from data.files import replacing
from data.io import to_float, to_uint8
from data.quality import LUMA
from data.sampler import PRESETS, Step, draw
from data.settings import field, path, require, run_module
from data.tiles import TILE, read_tile

MIN_SIDE_PX = 8
DOWN_FILTERS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
UP_FILTERS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}
DISC_OVERSAMPLING = 8
PATH_NODES = 64
PATH_POINTS_PER_PX = 3


def sample(rng: np.random.Generator, preset: str = "street") -> list[Step]:
    """Draw the steps of one sample. ValueError for an unknown preset."""
    if preset not in PRESETS:
        raise ValueError(f"unknown degradation preset {preset!r}, choose one of {', '.join(PRESETS)}")
    return draw(rng, PRESETS[preset])


def apply(picture: np.ndarray, steps: list[Step], scale: int = 1) -> np.ndarray:
    """Degraded copy of `picture`, (H / scale, W / scale, 3) float32 clipped to [0, 1].

    Lengths in the steps are px of `picture`, whatever `scale`. ValueError for an unknown operation, and for
    sides that `scale` does not divide.
    """
    height, width = picture.shape[:2]
    if height % scale or width % scale:
        raise ValueError(f"a picture of {height}x{width} cannot be shrunk by {scale}: its sides must divide by {scale}")
    out = np.asarray(picture, np.float32)
    for number, step in enumerate(steps):
        parameters = {name: value for name, value in step.items() if name != "stage"}
        if step["stage"] == "up":
            last = number == len(steps) - 1
            size = (height // scale, width // scale) if last else (height, width)
            out = resize_to(out, size, **parameters)
        elif step["stage"] in OPERATIONS:
            out = OPERATIONS[step["stage"]](out, **parameters)
        else:
            raise ValueError(
                f"unknown degradation operation {step['stage']!r}, allowed are up, {', '.join(OPERATIONS)}"
            )
    return clip(resize_to(out, (height // scale, width // scale)))


def sampled_width(steps: list[Step], width: float) -> float:
    """The fewest pixels that the steps ever left of something `width` px wide. Blur is not counted."""
    factor, greatest = 1.0, 1.0
    for step in steps:
        if step["stage"] == "down":
            factor *= step["factor"]
            greatest = max(greatest, factor)
        elif step["stage"] == "up":
            factor = 1.0
    return width / greatest


def blur_length(steps: list[Step]) -> float:
    """Length in px of the straight motion that spreads light as far as all the blurs together.

    Spread is the standard deviation: r / 2 for a disc of radius r, L / sqrt(12) for a line of length L. Variances add
    up. A path counts as a line between its farthest points.
    """
    variance, factor = 0.0, 1.0
    for step in steps:
        operation = step["stage"]
        if operation == "down":
            factor *= step["factor"]
        elif operation == "up":
            factor = 1.0
        elif operation == "defocus":
            variance += (factor * step["radius"]) ** 2 / 4
        elif operation == "gaussian":
            variance += (factor * step["sigma"]) ** 2
        elif operation in ("motion", "shake"):
            variance += (factor * step["length"]) ** 2 / 12
    return float(np.sqrt(12 * variance))


# --- Operations -------------------------------------------------------------------------------------------------------


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


# `up` is missing here, since it alone needs to know the size that the picture had at first
OPERATIONS: dict[str, Callable[..., np.ndarray]] = {
    "defocus": defocus,
    "gaussian": gaussian,
    "motion": motion,
    "shake": shake,
    "down": down,
    "exposure": exposure,
    "glow": glow,
    "gamma": gamma,
    "contrast": contrast,
    "haze": haze,
    "cast": cast,
    "gradient": gradient,
    "shadow": shadow,
    "spot": spot,
    "noise": noise,
    "smear": smear,
    "sharpen": sharpen,
    "jpeg": jpeg,
    "video": video,
}


# --- Blur kernels -----------------------------------------------------------------------------------------------------


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


# --- The sheet --------------------------------------------------------------------------------------------------------

GAP_PX = 4
LABEL_PX = 16
TITLE_PX = 30
SAMPLE_COLUMNS = 6
# a cell of the sheet: label and steps
Cell = tuple[str, list[Step]]
# rows of the sheet: the parameter that grows, its values from weak to strong, and the operation's other parameters
LADDERS: dict[str, tuple[str, tuple, dict]] = {
    "defocus": ("radius", (1, 2, 3, 4, 5, 6), {"linear": True}),
    "gaussian": ("sigma", (0.6, 1.2, 1.8, 2.4, 3.0, 3.6), {}),
    "motion": ("length", (3, 6, 10, 14, 18, 22), {"angle": 10, "linear": True}),
    "shake": ("length", (4, 8, 13, 19, 26, 38), {"angle": 30, "curl": 0.7, "seed": 4, "linear": True}),
    "down": ("factor", (1.5, 2, 3, 4, 5.5, 8), {}),
    "exposure": ("stops", (2, 1, -1, -2, -3, -4.5), {}),
    "glow": ("stops", (0.5, 1, 1.5, 2, 2.5, 3), {"sigma": 6, "share": 0.3}),
    "gamma": ("power", (0.5, 0.7, 0.85, 1.2, 1.6, 2.2), {}),
    "contrast": ("factor", (1.2, 0.8, 0.6, 0.45, 0.3, 0.2), {"pivot": 0.3}),
    "haze": ("amount", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), {"colour": [0.9, 0.7, 0.75]}),
    "cast": ("saturation", (1.4, 1.2, 0.8, 0.6, 0.4, 0), {"gains": [1.15, 0.95, 0.85]}),
    "gradient": ("stops", (0.5, 1, 1.5, 2, 2.5, 3), {"angle": 30}),
    "shadow": ("stops", (0.5, 1, 1.5, 2, 2.5, 3), {"angle": 20, "place": 0.1, "softness": 0.05}),
    "spot": ("amount", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), {"x": 0.6, "y": 0.3, "radius": 0.3, "colour": [1, 0.95, 0.85]}),
    "noise": ("read", (0.02, 0.04, 0.07, 0.1, 0.15, 0.2), {"shot": 0.03, "seed": 1, "grain": 0.6}),
    "smear": ("strength", (0.03, 0.06, 0.1, 0.15, 0.2, 0.3), {}),
    "sharpen": ("amount", (0.3, 0.6, 0.9, 1.2, 1.5, 1.8), {"sigma": 1.2}),
    "jpeg": ("quality", (95, 80, 60, 40, 30, 20), {"dx": 3, "dy": 5}),
    "video": ("quality", (95, 80, 60, 40, 30, 20), {"dx": 3, "dy": 5}),
}


@dataclass(frozen=True)
class SheetSettings:
    """Draw a sheet of what the degradations do to a picture of a plate."""

    image: str = field(type=path, help="picture of a plate; its middle is cut to a tile", metavar="FILE")
    out: str = field(type=path, help="the sheet, a PNG file", metavar="FILE")
    preset: str = field("street", help="preset of the full samples", choices=sorted(PRESETS))
    seed: int = field(0, help="seed of the samples", metavar="N")

    def __post_init__(self) -> None:
        require(self.seed >= 0, "--seed", "0 or more", self.seed)


def ladder(operation: str) -> list[Cell]:
    """(label, steps) of one operation alone at each strength, the weakest first."""
    name, values, others = LADDERS[operation]
    back = [{"stage": "up"}] if operation == "down" else []
    return [(f"{name} {value:g}", [{"stage": operation, name: value, **others}, *back]) for value in values]


def draw_sheet(picture: np.ndarray, preset: str, seed: int) -> Image.Image:
    """Sheet of `picture`: on the left the clean tile and every operation at growing strength, on the right as many rows
    of samples of `preset`."""
    rng = np.random.default_rng(seed)
    ladders = [[(f"{operation}: clean", []), *ladder(operation)] for operation in LADDERS]
    samples = [[_labelled(sample(rng, preset)) for _ in range(SAMPLE_COLUMNS)] for _ in ladders]
    left, right = _block(picture, ladders), _block(picture, samples)
    sheet = Image.new("RGB", (left.width + right.width + TITLE_PX, left.height + TITLE_PX), "white")
    sheet.paste(left, (0, TITLE_PX))
    sheet.paste(right, (left.width + TITLE_PX, TITLE_PX))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=18)
    draw.text((GAP_PX, 6), "One operation at a time, stronger to the right", fill="black", font=font)
    draw.text((left.width + TITLE_PX, 6), f'Samples of the preset "{preset}"', fill="black", font=font)
    return sheet


def _labelled(steps: list[Step]) -> tuple[str, list[Step]]:
    return " ".join(step["stage"][:5] for step in steps if step["stage"] != "up") or "nothing", steps


def _block(picture: np.ndarray, rows: list[list[Cell]]) -> Image.Image:
    height, width = picture.shape[:2]
    row_px, column_px = height + LABEL_PX + GAP_PX, width + GAP_PX
    block = Image.new("RGB", (len(rows[0]) * column_px + GAP_PX, len(rows) * row_px), "white")
    draw, font = ImageDraw.Draw(block), ImageFont.load_default(size=11)
    for row, cells in enumerate(rows):
        for column, (label, steps) in enumerate(cells):
            x, y = GAP_PX + column * column_px, row * row_px
            while draw.textlength(label, font=font) > width:
                label = label[:-1]
            draw.text((x, y), label, fill="black", font=font)
            tile = to_uint8(apply(picture, steps))
            block.paste(Image.fromarray(tile), (x, y + LABEL_PX))
    return block


def _middle(image: str) -> np.ndarray:
    """The middle of a picture file, of a tile's size and aspect. Raises ValueError that names the file."""
    height, width = TILE
    tile = ImageOps.fit(Image.fromarray(read_tile(image)), (width, height), Image.Resampling.LANCZOS)
    return to_float(np.asarray(tile))


def write_sheet(settings: SheetSettings) -> None:
    """Raises ValueError or OSError where the picture cannot be read, or the sheet not be written."""
    sheet = draw_sheet(_middle(settings.image), settings.preset, settings.seed)
    Path(settings.out).parent.mkdir(parents=True, exist_ok=True)
    with replacing(settings.out) as file:
        sheet.save(file, format="PNG")
    say(f"sheet written to {settings.out}")


def main(argv: Sequence[str] | None = None) -> int:
    return run_module("data.degrade", write_sheet, SheetSettings, SheetSettings.__doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
