"""Before and after `enhance.py`, side by side, of pictures spread evenly over a folder: the same ones every time, not a
choice.

    python -m tools.gallery --pictures ../shared/romanian --out docs/romanian.jpg

There is no truth to compare with; the captions say what the reader makes of each, and whether there is a warning.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
from PIL import Image
from tqdm import tqdm

from data.files import replacing
from data.io import to_uint8
from data.settings import field, path, require, run_module
from data.tiles import spread_evenly
from enhancing.drawing import sheet
from enhancing.examining import Examiner, make_examiner
from enhancing.finding import find_inputs
from models.shipped import check_checkpoint, default_checkpoint

COLUMNS, SHRINK = 8, 0.5


@dataclass(frozen=True)
class Settings:
    pictures: str = field(type=path, metavar="DIR", help="pictures of plates")
    out: str = field(type=path, metavar="FILE", help="the sheet, .jpg or .png")
    count: int = field(40, metavar="N", help="how many of them; 0: all")
    checkpoint: str | None = field(None, type=path, metavar="FILE", help="generator (default: the shipped one)")

    def __post_init__(self) -> None:
        require(self.count >= 0, "--count", "0 or more", self.count)
        require(Path(self.out).suffix.lower() in (".jpg", ".png"), "--out", "a .jpg or .png file", self.out)


def panels(examiner: Examiner, file: str) -> list:
    result = examiner.enhance(examiner.sources(file))[0]
    before, after = (reading.text or "nothing" for reading in (result.reading_before, result.reading))
    warned = " (warned)" if result.warnings else ""
    return [(f"before: {before}", result.source.lq), (f"after: {after}{warned}", result.picture)]


def draw(settings: Settings) -> None:
    """Write the sheet. Raises ValueError or OSError."""
    files = [found.path for found in find_inputs([settings.pictures], "") if not found.problem and not found.skipped]
    if not files:
        raise ValueError(f"no pictures in {settings.pictures}")
    chosen = [files[index] for index in spread_evenly(len(files), settings.count)]
    examiner = make_examiner(check_checkpoint(settings.checkpoint or default_checkpoint()), read=True)
    shown = [panel for file in tqdm(chosen, unit="picture") for panel in panels(examiner, file)]
    drawn = cv2.resize(to_uint8(sheet(shown, [], COLUMNS)), None, fx=SHRINK, fy=SHRINK, interpolation=cv2.INTER_AREA)
    form = "PNG" if settings.out.lower().endswith(".png") else "JPEG"
    with replacing(settings.out) as file:
        Image.fromarray(drawn).save(file, format=form, quality=88)


def main(argv: Sequence[str] | None = None) -> int:
    return run_module("tools.gallery", draw, Settings, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
