"""Damages clean tiles the way cameras do: `sample` draws a list of steps, `apply` carries it out.

    python -m data.degrade --image plate.png --out sheet.png

draws a sheet of every stage at growing strength and of full samples. Pictures are (H, W, 3) float32 RGB in [0, 1]. A
step is a dict with the name of its stage and its parameters, all of them JSON: the same picture and steps give the same
tile again.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data import stages
from data.io import open_picture_8bit, replacing, to_float
from data.presets import PRESETS
from data.sampler import Step, draw
from data.text import printable

# height, width
TILE = (96, 192)
# `up` is missing here: it alone needs to know the size that the picture had at first.
STAGES: dict[str, Callable[..., np.ndarray]] = {
    "defocus": stages.defocus,
    "gaussian": stages.gaussian,
    "motion": stages.motion,
    "shake": stages.shake,
    "down": stages.down,
    "exposure": stages.exposure,
    "glow": stages.glow,
    "gamma": stages.gamma,
    "contrast": stages.contrast,
    "haze": stages.haze,
    "cast": stages.cast,
    "gradient": stages.gradient,
    "shadow": stages.shadow,
    "spot": stages.spot,
    "noise": stages.noise,
    "smear": stages.smear,
    "sharpen": stages.sharpen,
    "jpeg": stages.jpeg,
    "video": stages.video,
}


def sample(rng: np.random.Generator, preset: str = "street") -> list[Step]:
    """Draw the steps of one sample. ValueError for an unknown preset."""
    if preset not in PRESETS:
        raise ValueError(f"unknown degradation preset {preset!r}, choose one of {', '.join(PRESETS)}")
    return draw(rng, PRESETS[preset])


def apply(picture: np.ndarray, steps: list[Step], scale: int = 1) -> np.ndarray:
    """Damaged copy of `picture`, (H / scale, W / scale, 3) float32 clipped to [0, 1].

    Lengths in the steps are px of `picture`, whatever `scale`. ValueError for an unknown stage, or sides that `scale`
    does not divide.
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
            out = stages.resize_to(out, size, **parameters)
        elif step["stage"] in STAGES:
            out = STAGES[step["stage"]](out, **parameters)
        else:
            raise ValueError(f"unknown degradation stage {step['stage']!r}, allowed are up, {', '.join(STAGES)}")
    return stages.clip(stages.resize_to(out, (height // scale, width // scale)))


def effective_width(steps: list[Step], width: float) -> float:
    """Fewest px that something `width` px wide had on its way, blur not counted."""
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

    Spread is the standard deviation: a disc of radius r has r / 2, a line of length L has L / sqrt(12), and variances
    add up. A path counts as a line between its farthest points.
    """
    variance, factor = 0.0, 1.0
    for step in steps:
        stage = step["stage"]
        if stage == "down":
            factor *= step["factor"]
        elif stage == "up":
            factor = 1.0
        elif stage == "defocus":
            variance += (factor * step["radius"]) ** 2 / 4
        elif stage == "gaussian":
            variance += (factor * step["sigma"]) ** 2
        elif stage in ("motion", "shake"):
            variance += (factor * step["length"]) ** 2 / 12
    return float(np.sqrt(12 * variance))


def exposure(steps: list[Step]) -> float:
    """Stops by which the steps brighten (above 0) or darken (below 0) middle grey, counting light and tone curve."""
    stops = sum(step["stops"] for step in steps if step["stage"] in ("exposure", "glow"))
    # Middle grey is stored as 0.5: the power p makes it 0.5^p, and one halving of the stored value is two stops.
    return float(stops + sum(2 * (1 - step["power"]) for step in steps if step["stage"] == "gamma"))


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m data.degrade",
        description="Draw a sheet of what the degradations do to a picture of a plate.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--image", required=True, help="picture of a plate; its middle is cut to a tile")
    parser.add_argument("--out", required=True, help="the sheet, a PNG file")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="street", help="preset of the full samples")
    parser.add_argument("--seed", type=int, default=0, help="seed of the samples")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Draw the sheet. 0: drawn, 2: the picture cannot be read or the sheet not written."""
    from PIL import Image, ImageOps

    from data.degrade_sheet import draw_sheet

    options = _parse(argv)
    height, width = TILE
    try:
        whole = Image.fromarray(open_picture_8bit(options.image))
        tile = ImageOps.fit(whole, (width, height), Image.Resampling.LANCZOS)
        sheet = draw_sheet(to_float(np.asarray(tile)), options.preset, options.seed)
        out = Path(options.out)
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as file:
            sheet.save(file, format="PNG")
    except (OSError, ValueError) as error:
        print(f"no sheet of {printable(options.image)} drawn: {printable(error)}", file=sys.stderr)
        return 2
    print(f"sheet written to {printable(options.out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
