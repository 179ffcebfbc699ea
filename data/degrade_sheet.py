"""Draws what the degradations do: a row of growing strength for every stage, and a block of full samples.

Pictures are (H, W, 3) float32 RGB in [0, 1].
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data import degrade
from data.sampler import Step

GAP_PX = 4
LABEL_PX = 16
TITLE_PX = 30
SAMPLE_COLUMNS = 6
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


def ladder(stage: str) -> list[tuple[str, list[Step]]]:
    """(label, steps) of one stage alone at each strength, the weakest first."""
    name, values, others = LADDERS[stage]
    back = [{"stage": "up"}] if stage == "down" else []
    return [(f"{name} {value:g}", [{"stage": stage, name: value, **others}, *back]) for value in values]


def draw_sheet(picture: np.ndarray, preset: str, samples: int, seed: int) -> Image.Image:
    """Sheet of `picture`: the clean tile and every stage's ladder, then `samples` samples of `preset`."""
    rng = np.random.default_rng(seed)
    rows = [[(f"{stage}: clean", []), *ladder(stage)] for stage in LADDERS]
    drawn = [_labelled(degrade.sample(rng, preset)) for _ in range(samples)]
    blocks = [drawn[start : start + SAMPLE_COLUMNS + 1] for start in range(0, samples, SAMPLE_COLUMNS + 1)]
    height, width = picture.shape[:2]
    row_px, column_px = height + LABEL_PX + GAP_PX, width + GAP_PX
    size = ((SAMPLE_COLUMNS + 1) * column_px + GAP_PX, (len(rows) + len(blocks)) * row_px + 2 * TITLE_PX)
    sheet = Image.new("RGB", size, "white")
    _title(sheet, 0, "One stage at a time, stronger to the right")
    _place(sheet, picture, rows, TITLE_PX, row_px, column_px)
    top = TITLE_PX + len(rows) * row_px
    _title(sheet, top, f'Samples of the preset "{preset}"')
    _place(sheet, picture, blocks, top + TITLE_PX, row_px, column_px)
    return sheet


def _labelled(steps: list[Step]) -> tuple[str, list[Step]]:
    return " ".join(step["stage"][:5] for step in steps if step["stage"] != "up") or "nothing", steps


def _place(
    sheet: Image.Image, picture: np.ndarray, rows: list[list[tuple]], top: int, row_px: int, column_px: int
) -> None:
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for row, cells in enumerate(rows):
        for column, (label, steps) in enumerate(cells):
            x, y = GAP_PX + column * column_px, top + row * row_px
            while draw.textlength(label, font=font) > column_px - GAP_PX:
                label = label[: label.rindex(" ")]
            draw.text((x, y), label, fill="black", font=font)
            tile = np.rint(degrade.apply(picture, steps) * 255).astype(np.uint8)
            sheet.paste(Image.fromarray(tile), (x, y + LABEL_PX))


def _title(sheet: Image.Image, top: int, text: str) -> None:
    ImageDraw.Draw(sheet).text((GAP_PX, top + 6), text, fill="black", font=ImageFont.load_default(size=18))
