"""Degrades clean tiles the way cameras do: `sample` draws a list of steps, `apply` carries it out.

    python -m data.degrade --image plate.png --out sheet.png

draws a sheet of every operation at growing strength, and of full samples. Pictures are (H, W, 3) float32 RGB in [0, 1].
A step is a dict with the name of its operation (under the key "stage", as manifests have it) and its parameters, all of
them JSON: the same picture and steps give the same tile again.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from data import operations
from data.console import say
from data.files import replacing
from data.io import to_float, to_uint8
from data.sampler import PRESETS, Step, draw
from data.settings import field, path, require, run_module
from data.tiles import TILE, read_tile

# `up` is missing here, since it alone needs to know the size that the picture had at first
OPERATIONS: dict[str, Callable[..., np.ndarray]] = {
    "defocus": operations.defocus,
    "gaussian": operations.gaussian,
    "motion": operations.motion,
    "shake": operations.shake,
    "down": operations.down,
    "exposure": operations.exposure,
    "glow": operations.glow,
    "gamma": operations.gamma,
    "contrast": operations.contrast,
    "haze": operations.haze,
    "cast": operations.cast,
    "gradient": operations.gradient,
    "shadow": operations.shadow,
    "spot": operations.spot,
    "noise": operations.noise,
    "smear": operations.smear,
    "sharpen": operations.sharpen,
    "jpeg": operations.jpeg,
    "video": operations.video,
}


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
            out = operations.resize_to(out, size, **parameters)
        elif step["stage"] in OPERATIONS:
            out = OPERATIONS[step["stage"]](out, **parameters)
        else:
            raise ValueError(
                f"unknown degradation operation {step['stage']!r}, allowed are up, {', '.join(OPERATIONS)}"
            )
    return operations.clip(operations.resize_to(out, (height // scale, width // scale)))


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


def exposure(steps: list[Step]) -> float:
    """Stops by which the steps brighten (above 0) or darken (below 0) middle grey, through exposure and tone curve."""
    stops = sum(step["stops"] for step in steps if step["stage"] in ("exposure", "glow"))
    # middle grey is stored as 0.5; the power p makes it 0.5^p, and half the stored value is two stops less
    return float(stops + sum(2 * (1 - step["power"]) for step in steps if step["stage"] == "gamma"))


# --- The sheet ------------------------------------------------------------------------------------------------

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
