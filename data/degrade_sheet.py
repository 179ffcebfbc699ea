"""Draws what the degradations do: a row of growing strength for every stage, and beside them a block of full samples.

Pictures are (H, W, 3) float32 RGB in [0, 1].
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data import degrade
from data.io import to_uint8
from data.sampler import Step

GAP_PX = 4
LABEL_PX = 16
TITLE_PX = 30
SAMPLE_COLUMNS = 6
# label and steps
Cell = tuple[str, list[Step]]
# Rows of the sheet: what grows, its values from weak to strong, and what else the stage needs.
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


def ladder(stage: str) -> list[Cell]:
    """(label, steps) of one stage alone at each strength, the weakest first."""
    name, values, others = LADDERS[stage]
    back = [{"stage": "up"}] if stage == "down" else []
    return [(f"{name} {value:g}", [{"stage": stage, name: value, **others}, *back]) for value in values]


def draw_sheet(picture: np.ndarray, preset: str, seed: int) -> Image.Image:
    """Sheet of `picture`: left the clean tile and every stage's ladder, right as many rows of samples of `preset`."""
    rng = np.random.default_rng(seed)
    ladders = [[(f"{stage}: clean", []), *ladder(stage)] for stage in LADDERS]
    samples = [[_labelled(degrade.sample(rng, preset)) for _ in range(SAMPLE_COLUMNS)] for _ in ladders]
    left, right = _block(picture, ladders), _block(picture, samples)
    sheet = Image.new("RGB", (left.width + right.width + TITLE_PX, left.height + TITLE_PX), "white")
    sheet.paste(left, (0, TITLE_PX))
    sheet.paste(right, (left.width + TITLE_PX, TITLE_PX))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=18)
    draw.text((GAP_PX, 6), "One stage at a time, stronger to the right", fill="black", font=font)
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
            tile = to_uint8(degrade.apply(picture, steps))
            block.paste(Image.fromarray(tile), (x, y + LABEL_PX))
    return block
